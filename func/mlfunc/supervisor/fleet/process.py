"""A process on the event loop: what it writes, as lines, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

from mlfunc import proc
from mlfunc.supervisor.fleet import group
from mlfunc.supervisor.fleet.output import Lines
from mlfunc.supervisor.fleet.patience import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# In one turn of the loop: some milliseconds, even where there is nothing but line ends.
_CHUNK = 32 * 1024
# What a pipe may still hold when its process has ended.
_LAST_WORDS = 2**20


class Ears(NamedTuple):
    """Who is told of a process: lines as they come, and then its end, and its group's."""

    hear: Callable[[Sequence[bytes]], None]
    ended: Callable[[int], None]


class Process:
    """One that has been started."""

    def __init__(
        self, argv: Sequence[str], folder: Path, env: Mapping[str, str], ears: Ears
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ears = ears
        self._lines = Lines()
        self._meter = Meter(self._loop.time())
        self._resume: asyncio.TimerHandle | None = None
        self._process = proc.start(argv, cwd=folder, env=env, both=True)
        assert self._process.stdout is not None  # noqa: S101 - `both` says so
        self._stream = self._process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._listen()
        proc.tell_exit(self._process, self._loop, self._ended)

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self._process.pid

    def ask_to_end(self) -> None:
        """SIGTERM: it does what it has, and leaves."""
        proc.signal_process(self._process, signal.SIGTERM)

    def kill(self) -> None:
        """End it, and all that it started, now."""
        proc.signal_group(self._process, signal.SIGKILL)

    def _listen(self) -> None:
        self._resume = None
        self._loop.add_reader(self._stream.fileno(), self._read)

    def _read(self) -> None:
        chunk = self._taken()
        if chunk is None:
            return
        if not chunk:  # nobody can write any more
            self._loop.remove_reader(self._stream.fileno())
            return
        if pause := self._meter.spend(chunk, self._loop.time()):
            self._loop.remove_reader(self._stream.fileno())
            self._resume = self._loop.call_later(pause, self._listen)
        self._hear(self._lines.cut(chunk))

    def _taken(self) -> bytes | None:
        """Some of what is there; nothing: there will be no more; None: there is none now."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._stream.fileno(), _CHUNK)
        return None

    def _ended(self, code: int) -> None:
        self._loop.remove_reader(self._stream.fileno())
        if self._resume is not None:
            self._resume.cancel()
        self._last_words()
        self._stream.close()
        group.tell_gone(self.pid, self._loop, lambda: self._ears.ended(code))

    def _last_words(self) -> None:
        """What lies in the pipe: a child with a session of its own may hold it open for ever."""
        left = _LAST_WORDS
        while left > 0 and (chunk := self._taken()):
            left -= len(chunk)
            self._hear(self._lines.cut(chunk))
        self._hear(self._lines.end())

    def _hear(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._ears.hear(lines)
