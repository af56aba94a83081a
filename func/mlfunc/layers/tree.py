"""A tree: what a layer will hold, as data. It is streamed into a tar or written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Range:
    """Some bytes of a file here."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class File:
    """A file in the image: its bytes are those of its pieces, one after the other."""

    path: str
    pieces: tuple[bytes | Range, ...]
    executable: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(p) if isinstance(p, bytes) else p.length for p in self.pieces)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that nothing is in; those above files need no mention."""

    path: str


Entry = File | Link | Folder


@dataclass(frozen=True)
class Tree:
    """Entries in the order of their paths: `workspace/x.py`, relative to the root of the image."""

    entries: tuple[Entry, ...]
