"""A predictor's process as its parent sees it. Its methods are called in the thread of its slot,
but for `kill` and what only reads.
"""

from __future__ import annotations

import _socket  # not `socket`: the patched one makes sockets of the hub
import dataclasses
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mlfunc_runtime.errors import Problem
from mlfunc_runtime.isolation.wire import Arena, Channel, Uncrossable

if TYPE_CHECKING:
    from collections.abc import Callable

    Reason = Literal["exit", "signal", "memory", "timeout", "load"]

_MODULE = "mlfunc_runtime.isolation.child"
_TICK = 0.1
# Long enough for the output of a process that has ended to be read.
_LAST_WORDS = 0.5
_KEPT_LINES = 40
_LONGEST_LINE = 2**16
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """Why a process is no more."""

    reason: Reason
    told: str

    def problem(self) -> Problem:
        """What those get whose batch it had. The log has it once for all of them."""
        problem = Problem(504 if self.reason == "timeout" else 500, self.told)
        problem.logged = True
        return problem


class Limit(NamedTuple):
    """How long an answer is waited for, and why a process ends that gave none."""

    seconds: float
    ending: Ending


class Ended(Exception):
    """The process ended before it had answered. Its last words stand for a traceback."""

    def __init__(self, ending: Ending, output: str) -> None:
        super().__init__(ending.told)
        self.ending = ending
        self.told_traceback = output


class Process:
    """A started child, which answers one call at a time.

    Not forked: the parent has threads, and perhaps a device open. It leads a process group, so that
    what it forks ends with it; a terminal's input is not for such a one.
    """

    def __init__(self, flags: int) -> None:
        ours, theirs = (each.detach() for each in _socket.socketpair())
        there, back = (os.memfd_create("mlfunc", os.MFD_CLOEXEC) for _ in range(2))
        stderr, their_stderr = os.pipe()
        passed = (theirs, there, back, flags)
        command = [sys.executable, "-m", _MODULE, *map(str, passed), str(os.getpid())]
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                command,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stderr=their_stderr,
                process_group=0,
            )
        except BaseException:
            _close_all(ours, there, back, stderr)
            raise
        finally:
            _close_all(theirs, their_stderr)
        self.pid = self._child.pid
        self.channel = Channel(ours, outgoing=Arena(there), incoming=Arena(back))
        self._output = Output(stderr)
        self._killed: Ending | None = None
        self.pidfd = _open_pidfd(self.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.poll() is None

    def resident(self) -> int:
        """Its memory in RAM, in bytes; 0 when it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:  # noqa: PTH123 - a file of the kernel
                return int(statm.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def ask(self, method: str, *arguments: Any) -> None:
        """Call a method of the child's Host, and do not wait for its answer.

        Raises:
            Uncrossable: an argument cannot be pickled; nothing was called.
            Ended: it has ended.

        """
        try:
            self.channel.send((method, arguments))
        except EOFError:
            raise self.post_mortem() from None

    def answer(self, limit: Limit | None = None, tick: Callable[[], object] | None = None) -> Any:
        """Wait for what the called method returns; `tick` is called now and then meanwhile.

        Raises:
            Exception: what the method raised.
            Uncrossable: what it returned cannot be made here.
            Ended: it ended, or had not answered within the limit and was killed.

        """
        self._wait(limit, tick)
        try:
            value, told = self.channel.receive()
        except EOFError:
            raise self.post_mortem() from None
        except Uncrossable as error:
            told_here = f"what predict returned cannot be read in the server's process: {error}"
            raise Uncrossable(told_here) from error
        if told is not None:
            raise told.again()
        return value

    def call(self, method: str, *arguments: Any, limit: Limit | None = None) -> Any:
        """`ask`, then `answer`."""
        self.ask(method, *arguments)
        return self.answer(limit)

    def post_mortem(self) -> Ended:
        """Why it has ended, or is about to: one that closed its socket is ended."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_LAST_WORDS)
        self._end_group()
        code = self._child.wait()
        return Ended(self._killed or _ending(code), self._output.last_words())

    def kill(self, ending: Ending | None = None) -> None:
        """End it now, perhaps for a reason. Returns at once."""
        self._killed = self._killed or ending
        if self.alive:
            self._end_group()

    def close(self) -> None:
        """End it, and let go of all that belongs to it."""
        self.kill()
        self._child.wait()
        self.channel.close()
        if self.pidfd is not None:
            os.close(self.pidfd)

    def _end_group(self) -> None:
        """It, and what it has forked, which would go on without anybody who knows of it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _wait(self, limit: Limit | None, tick: Callable[[], object] | None) -> None:
        """Until there is something to read, or nobody who would write it."""
        poll = select.poll()
        poll.register(self.channel.descriptor, select.POLLIN)
        if self.pidfd is not None:
            poll.register(self.pidfd, select.POLLIN)
        deadline = None if limit is None else time.monotonic() + limit.seconds
        while not (ready := poll.poll(_milliseconds(deadline, tick))):
            if tick is not None:
                tick()
            if limit is not None and deadline is not None and time.monotonic() >= deadline:
                raise self._overdue(limit.ending)
        if self.channel.descriptor not in dict(ready):
            raise self.post_mortem()

    def _overdue(self, ending: Ending) -> Ended:
        """faulthandler writes where it hangs, whoever holds the GIL, when it is told to abort."""
        self._killed = self._killed or ending
        self._child.send_signal(signal.SIGABRT)
        return self.post_mortem()


class Output:
    """Passes what a process writes to its standard error on to ours, and knows the last lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._thread = threading.Thread(target=self._pass_on, name="stderr", daemon=True)
        self._thread.start()

    def last_words(self) -> str:
        """The last lines of a process that has ended."""
        self._thread.join(_LAST_WORDS)
        lines = [line.decode(errors="replace").strip("\r\n") for line in list(self._lines)]
        return "\n".join(line for line in lines if not line.startswith("{")).strip()

    def _pass_on(self) -> None:
        """Whole lines, so that they do not break ours."""
        with open(self._descriptor, "rb") as source:  # noqa: PTH123 - a pipe
            for line in iter(partial(source.readline, _LONGEST_LINE), b""):
                self._lines.append(line)
                with suppress(OSError):
                    _write_all(line)


def _close_all(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _write_all(line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(2, left) :]


def _milliseconds(deadline: float | None, tick: Callable[[], object] | None) -> int | None:
    limits = [_TICK] if tick is not None else []
    if deadline is not None:
        limits.append(max(0.0, deadline - time.monotonic()))
    return int(min(limits) * 1000) + 1 if limits else None


def _ending(code: int) -> Ending:
    if code >= 0:
        return Ending("exit", f"the predictor's process ended with exit code {code}")
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    return Ending("signal", f"the predictor's process ended with signal {-code}{name}")


def _open_pidfd(pid: int) -> int | None:
    """None in a sandbox that lacks it: there, the end of the socket tells."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
