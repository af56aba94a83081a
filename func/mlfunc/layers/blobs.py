"""Blobs kept in a folder, named by what is in them; those used least recently go first."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlfunc.layers import locks, reading
from mlfunc.layers.tree import Range
from mlfunc.oci import content

if TYPE_CHECKING:
    import contextlib
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


@dataclass(frozen=True)
class Kept:
    """What is known of a blob without reading it; `held`: a program that runs now uses it."""

    facts: os.stat_result
    held: bool


class Blobs:
    """A folder of blobs. What this program has made or found there stays until `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: list[BinaryIO] = []

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """An empty folder for what is being made, beside the blobs, until the block ends."""
        return locks.scratch(self.folder.with_name("scratch"))

    def keep(self, file: Path, digest: str) -> None:
        """Take a finished file in, by its name: nobody ever finds half of it there."""
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            # One that is there stays, for those who hold it.
            if not path.is_file() or path.stat().st_size != file.stat().st_size:
                file.replace(path)
            self._hold(path)

    def find(self, descriptor: Descriptor) -> FileBlob | None:
        """A blob, if all of it is here. One that a disk has damaged goes, and is made again."""
        path = self._path(descriptor.digest)
        if not self._hold(path) or path.stat().st_size != descriptor.size:
            return None
        blob = FileBlob(descriptor, path)
        if content.digest_of(blob.read()) != descriptor.digest:
            path.unlink(missing_ok=True)
            return None
        # When it was used last. Not when it was written: who reads it would take it for changed.
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return blob

    def prune(self, limit: int) -> int:
        """Remove those used least recently until the rest has at most `limit` bytes.

        What programs that run now have made or found stays. Returns how many bytes went.
        """
        with self._alone():
            by_use = sorted(self._all(), key=lambda found: found[1].st_atime_ns)
            excess = sum(facts.st_size for _, facts in by_use) - limit
            removed = 0
            for path, facts in by_use:
                if removed < excess and _remove(path):
                    removed += facts.st_size
        return removed

    def all(self) -> dict[str, Kept]:
        """All blobs that are here, by their digests."""
        with self._alone():
            return {
                f"{path.parent.name}:{path.name}": Kept(facts, held=_is_held(path))
                for path, facts in self._all()
            }

    def remove(self, digest: str) -> bool:
        """Remove one, unless a program that runs now has made or found it; whether it is gone."""
        path = self._path(digest)
        with self._alone():
            return not path.exists() or _remove(path)

    def close(self) -> None:
        """Let others remove what was held."""
        while self._held:
            self._held.pop().close()

    def _hold(self, path: Path) -> bool:
        file = locks.lock_shared(path)
        if file is not None:
            self._held.append(file)
        return file is not None

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """While a name comes or goes: what is removed is what was looked at."""
        return locks.locked_briefly(self.folder / ".lock")

    def _path(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self.folder / algorithm / name

    def _all(self) -> Iterator[tuple[Path, os.stat_result]]:
        return ((path, path.stat()) for path in self.folder.glob("*/*"))


def _is_held(path: Path) -> bool:
    file = locks.lock_alone(path)
    if file is not None:
        file.close()
    return file is None


def _remove(path: Path) -> bool:
    file = locks.lock_alone(path)
    if file is None:
        return False
    with file:
        path.unlink()
    return True
