"""Tar archives that are never written: headers, ranges of files and padding, in order.

The same tree gives the same bytes on every machine: sorted paths, no owners, no times, two modes;
what the ustar format has no room for stands in PAX headers.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlfunc.layers import reading
from mlfunc.layers.tree import File, Folder, Link, Range, parents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.layers.tree import Entry, Tree
    from mlfunc.oci.content import Descriptor

# 1980-01-01T00:00:01Z, as lifecycles set it: the first second that zip files can express, plus one.
MTIME = 315532801
_BLOCK = 512


@dataclass(frozen=True)
class Tar:
    """An archive as its segments; `size` in bytes."""

    segments: tuple[bytes | Range, ...] = field(repr=False)
    size: int

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, in pieces of at most 1 MiB.

        Raises:
            MlfuncError: a file cannot be read, or changed meanwhile.

        """
        return reading.read(self.segments, offset)


@dataclass(frozen=True)
class TarBlob:
    """An archive that is a layer as it is, read from where its files lie."""

    descriptor: Descriptor
    tar: Tar

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on."""
        return self.tar.read(offset)


def archive(tree: Tree) -> Tar:
    """A tree as an archive; no file is opened."""
    segments = tuple(_segments(tree))
    size = sum(len(s) if isinstance(s, bytes) else s.length for s in segments)
    return Tar(segments, size)


def _segments(tree: Tree) -> Iterator[bytes | Range]:
    there: set[str] = set()
    for entry in tree.entries:
        above = [path for path in parents(entry.path) if path not in there]
        there.update(above)
        yield from (_header(Folder(path)) for path in reversed(above))
        yield _header(entry)
        if isinstance(entry, File):
            yield from entry.pieces
            yield bytes(-entry.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.mtime = MTIME
    match entry:
        case File():
            info.size, info.mode = entry.size, 0o755 if entry.executable else 0o644
        case Link():
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
        case Folder():
            info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
