"""The lines of one process, each with its time, in a file that stays small.

    2026-11-26T07:00:00.000000001Z what it said

Times grow by at least a nanosecond: whoever reads on goes by them. There are two files: what is in
the older one is all that is forgotten when the newer one is full.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
FULL = 10_000_000
_SECOND = 10**9
# A disk that was full may not be any more.
_AGAIN = 10 * _SECOND


@dataclass(frozen=True)
class Place:
    """The files of a journal; the older one may not be there."""

    newer: Path

    @property
    def older(self) -> Path:
        """What was the newer one before."""
        return self.newer.with_name(self.newer.name + ".1")

    def move(self, to: Place) -> None:
        """In place of another one, which is gone then."""
        to.remove()
        for mine, its in ((self.older, to.older), (self.newer, to.newer)):
            if mine.exists():
                mine.rename(its)

    def remove(self) -> None:
        """Both."""
        self.older.unlink(missing_ok=True)
        self.newer.unlink(missing_ok=True)


class Journal:
    """What is written, and told to those who read on."""

    def __init__(self, place: Place, clock: Callable[[], int] = time.time_ns) -> None:
        self.place = place
        self.closed = False
        self.turned = 0  # how often the newer file became the older one
        self._clock = clock
        self._last = 0
        self._size = 0
        self._file: int | None = None
        self._silent_until = 0
        self._more = asyncio.Event()
        self._try(self._open)

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep them. Where that fails, whoever said them goes on all the same."""
        now = max(self._clock(), self._last + 1)
        self._last = now + len(lines)
        if now < self._silent_until:
            return
        data = b"".join(_stamped(lines, now))
        self._try(lambda: self._append(data))
        self._tell()

    def close(self) -> None:
        """There will be no more."""
        self.closed = True
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._tell()

    async def changed(self) -> None:
        """Until there is more, or there will be none."""
        await self._more.wait()

    def open(self, turn: int) -> tuple[BinaryIO, int] | None:
        """A file to read, and which turn it is of: the one after so many, else the oldest left."""
        first = max(turn, self.turned - 1)
        wanted = ((each, self._path(each)) for each in range(first, self.turned + 1))
        for each, path in wanted:
            if path.exists():
                return path.open("rb"), each
        return None

    def _path(self, turn: int) -> Path:
        return self.place.newer if turn == self.turned else self.place.older

    def _tell(self) -> None:
        self._more.set()
        if not self.closed:
            self._more = asyncio.Event()

    def _append(self, data: bytes) -> None:
        if self._file is None or self._size >= FULL:
            self._open()
        file = self._opened()
        written = os.write(file, data)
        if written < len(data):  # no room for all: nothing is left half
            os.ftruncate(file, self._size)
            raise OSError(None, "no space left on device")
        self._size += written

    def _opened(self) -> int:
        assert self._file is not None  # noqa: S101 - it was opened before
        return self._file

    def _open(self) -> None:
        """A new file; what was the newer one is the older one now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.place.newer.rename(self.place.older)
            self.turned += 1
        _make_private(self.place.newer.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.place.newer, flags, 0o600)
        self._size = 0

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            if not self._silent_until:
                reason = (error.strerror or str(error)).lower()
                _log.warning("%s: nothing is logged for now: %s", self.place.newer, reason)
            self._silent_until = self._clock() + _AGAIN
        else:
            if self._silent_until:
                _log.warning("%s: it is logged again", self.place.newer)
            self._silent_until = 0


def _make_private(folder: Path) -> None:
    """With those above it, which `mkdir` would open to all."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _stamped(lines: Sequence[bytes], now: int) -> Iterator[bytes]:
    """Each with a time of its own."""
    second, rest = divmod(now, _SECOND)
    prefix = _prefix(second)
    for line in lines:
        yield b"%s.%09dZ %s\n" % (prefix, rest, line)
        rest += 1
        if rest == _SECOND:
            second, rest = second + 1, 0
            prefix = _prefix(second)


def _prefix(second: int) -> bytes:
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode()
