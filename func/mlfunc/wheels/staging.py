"""Folders for what is installed on its way into a layer.

Its files stay where they are until the layer is written, which its maker does not see: so they go
when this program ends. A later one removes what a killed one has left.
"""

from __future__ import annotations

import atexit
import contextlib
import tempfile
from functools import cache
from pathlib import Path

from mlfunc import paths
from mlfunc.layers import locks


def folder() -> Path:
    """An empty folder of this program's own."""
    return Path(tempfile.mkdtemp(dir=_top()))


@cache
def _top() -> Path:
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(locks.scratch(place()))


def place() -> Path:
    """Where those of all programs are."""
    return paths.cache() / "staging"
