"""Which address is read by what. A new scheme is a module and a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.models.hub import Hub
from mlfunc.models.s3 import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.models.source import Source

# What is fetched file by file. Paths, oci:// and pvc:// are not: see pinning.py.
FETCHED: dict[str, Callable[[str], Source]] = {"hf": Hub, "s3": Bucket}


def scheme(uri: str) -> str:
    """What an address begins with; nothing for a path."""
    before, found, _ = uri.partition("://")
    return before if found else ""
