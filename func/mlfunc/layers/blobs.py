"""Blobs kept in a folder, named by what is in them; those used least recently go first."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlfunc.layers import locks, reading
from mlfunc.layers.tree import Range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.oci.content import Descriptor


@dataclass(frozen=True)
class FileBlob:
    """A blob that is a file here."""

    descriptor: Descriptor
    path: Path

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, in pieces of at most 1 MiB."""
        return reading.read((Range(self.path, 0, self.descriptor.size),), offset)


class Blobs:
    """A folder of blobs. What this program has made or found there stays until `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, BinaryIO] = {}

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """An empty folder for what is being made, beside the blobs, until the block ends."""
        return locks.scratch(self._folder.with_name("scratch"))

    def keep(self, file: Path, digest: str) -> None:
        """Take a finished file in, by its name: nobody ever finds half of it there."""
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock goes with the file: there is no moment in which another may remove it.
        lock = locks.lock_shared(file)
        file.replace(path)
        if lock is not None:
            self._held[digest] = lock

    def find(self, descriptor: Descriptor) -> FileBlob | None:
        """A blob, if all of it is here."""
        path = self._path(descriptor.digest)
        file = self._held.get(descriptor.digest) or locks.lock_shared(path)
        if file is None or os.fstat(file.fileno()).st_size != descriptor.size:
            return None
        self._held[descriptor.digest] = file
        os.utime(path)
        return FileBlob(descriptor, path)

    def prune(self, limit: int) -> int:
        """Remove those used least recently until the rest has at most `limit` bytes.

        What programs that run now have made or found stays. Returns how many bytes went.
        """
        by_use = sorted(self._all(), key=lambda found: found[1].st_mtime_ns)
        excess = sum(facts.st_size for _, facts in by_use) - limit
        removed = 0
        for path, facts in by_use:
            if removed < excess and _remove(path):
                removed += facts.st_size
        return removed

    def close(self) -> None:
        """Let others remove what was held."""
        for file in self._held.values():
            file.close()
        self._held.clear()

    def _path(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self._folder / algorithm / name

    def _all(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()


def _remove(path: Path) -> bool:
    file = locks.lock_alone(path)
    if file is None:
        return False
    with file:
        path.unlink()
    return True
