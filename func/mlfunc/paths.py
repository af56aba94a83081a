"""Where this program keeps its own files. Nothing of them is ever in a project's folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """What can be made again: `$MLFUNC_HOME`, else `mlfunc` in the user's cache."""
    if home := os.environ.get("MLFUNC_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlfunc"


def running() -> Path:
    """What is true only while programs run."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and not os.environ.get("MLFUNC_HOME"):
        return Path(runtime) / "mlfunc"
    return cache() / "running"


def state() -> Path:
    """What cannot be made again: `$MLFUNC_HOME`, else `mlfunc` in the user's state."""
    if home := os.environ.get("MLFUNC_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mlfunc"
