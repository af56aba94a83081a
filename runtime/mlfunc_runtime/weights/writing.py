"""A file that comes in parts, in any order and from many threads, and is hashed as they arrive."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from typing import TYPE_CHECKING

from mlfunc_runtime.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc_runtime.weights.listing import File, Part

_PIECE = 2**20


class Unwritable(StartupError):
    """There is no room, or no permission."""


@contextlib.contextmanager
def told_as_unwritable(path: Path) -> Iterator[None]:
    """What the system has against a file at `path`, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        told = f"{path} cannot be written: {error.strerror}"
        hint = "give it room: an emptyDir volume there, with a sizeLimit above the model's size"
        raise Unwritable(told, hint) from error


def unfinished(path: Path) -> Path:
    """What a file is called until its hash was found to be right."""
    return path.with_name(f"{path.name}.unfinished")


class Arriving:
    """A file of which not everything is there. It gets its name when its hash is right.

    Parts are hashed in their order, from the page cache, by whichever thread brings the one that is
    next: the hash is ready as soon as the last part is.
    """

    def __init__(self, path: Path, file: File, parts: list[Part]) -> None:
        self._path, self._file, self._parts = path, file, parts
        self._unfinished = unfinished(path)
        self._sha256 = hashlib.sha256()
        self._arrived: set[int] = set()
        self._hashed = 0
        self._hashing = False
        self._lock = threading.Lock()
        with told_as_unwritable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(
                self._unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644
            )

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes where they belong.

        Raises:
            Unwritable: there is no room for them.

        """
        with told_as_unwritable(self._path):
            while data:
                written = os.pwrite(self._descriptor, data, offset)
                data, offset = data[written:], offset + written

    def arrived(self, number: int) -> None:
        """A part is whole; with the last one the file is there.

        Raises:
            StartupError: it is not the file that the build has seen.

        """
        with self._lock:
            self._arrived.add(number)
            if self._hashing:
                return
            self._hashing = True
        while (part := self._next()) is not None:
            self._hash(part)
            if part == self._parts[-1]:
                self.finish()

    def finish(self) -> None:
        """All of it is there."""
        found = self._sha256.hexdigest()
        self.close()
        if found != self._file.sha256:
            self._unfinished.unlink()
            told = f"{self._file.path} came with the sha256 {found} instead of {self._file.sha256}"
            raise StartupError(told, "the model was changed at its address: build the image anew")
        self._unfinished.replace(self._path)

    def close(self) -> None:
        """Nothing more is written. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _next(self) -> Part | None:
        """The next part to hash, if it is there: the last look and the end of hashing are one."""
        with self._lock:
            if self._hashed in self._arrived:
                self._hashed += 1
                return self._parts[self._hashed - 1]
            self._hashing = False
            return None

    def _hash(self, part: Part) -> None:
        buffer = memoryview(bytearray(min(_PIECE, part.size)))
        offset, end = part.start, part.start + part.size
        while offset < end:
            count = os.preadv(self._descriptor, [buffer[: end - offset]], offset)
            self._sha256.update(buffer[:count])
            offset += count
