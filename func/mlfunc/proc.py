"""The only place that starts processes. None outlives this program, save one that is detached."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterator, Mapping, Sequence

_log = logging.getLogger(__name__)
_TAIL_LINES = 20
_TETHERED = Path(__file__).with_name("tethered.py")
_DETACHED = Path(__file__).with_name("detached.py")


@dataclass(frozen=True)
class Finished:
    """How a process ended, and the last lines it wrote."""

    code: int
    tail: str


class Cancelled(Exception):
    """What was being done was broken off."""


class Cancellation:
    """Lets one thread break off what others run."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def cancel(self) -> None:
        """End what runs, and let nothing further begin."""
        with self._lock:
            self._asked.set()
            for process in self._running:
                signal_group(process, signal.SIGTERM)

    def check(self, wait: float = 0.0) -> None:
        """Wait so many seconds for it.

        Raises:
            Cancelled: it has come.

        """
        if self._asked.wait(wait):
            raise Cancelled

    @contextlib.contextmanager
    def of(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """The process that runs in this block is one to end; several may, each in its thread."""
        with self._lock:
            self._running.add(process)
            if self._asked.is_set():
                signal_group(process, signal.SIGTERM)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(process)


def run(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    cancellation: Cancellation | None = None,
) -> Finished:
    """Run to the end, handing on each line as it comes.

    Raises:
        Cancelled: it was broken off.

    """
    stop = cancellation or Cancellation()
    stop.check()
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    pipes = {"out": subprocess.PIPE, "error": subprocess.STDOUT}
    with _open(argv, cwd, env, group=0, **pipes) as process, stop.of(process):
        try:
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                tail.append(line)
                _log.debug("%s", line)
                on_line(line)
        except BaseException:
            # Ctrl-C, or nobody to tell any more: it ends before we let go of what it works on.
            signal_group(process, signal.SIGTERM)
            process.wait()
            raise
    stop.check()
    return Finished(process.returncode, "\n".join(tail))


def call(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run to the end with our own terminal: the child gets Ctrl-C itself and we wait for it."""
    process = _open(argv, cwd, env, out=None, error=None, source=None)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def ask(
    argv: Sequence[str], question: bytes, *, env: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Put a question to a program's standard input: how it ended, and its standard output.

    The answer may be a secret: it is not logged.

    Raises:
        FileNotFoundError: there is no such program.

    """
    program = shutil.which(argv[0], path=None if env is None else env.get("PATH"))
    if program is None:
        raise FileNotFoundError(argv[0])
    pipes = {"out": subprocess.PIPE, "error": None, "source": subprocess.PIPE}
    with _open([program, *argv[1:]], None, env, **pipes) as process:
        output, _ = process.communicate(question)
    return process.returncode, output


def start(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], both: bool = False
) -> subprocess.Popen[bytes]:
    """Start a server: its standard error comes to us, its standard output goes where ours goes.

    With `both`, all that it writes comes to us, as its standard output. It gets a process group of
    its own, so that Ctrl-C reaches us alone and we decide how it ends.
    """
    if both:
        return _open(argv, cwd, env, out=subprocess.PIPE, error=subprocess.STDOUT, group=0)
    return _open(argv, cwd, env, out=None, error=subprocess.PIPE, group=0)


def detach(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> BinaryIO:
    """Start a program that stays when this one ends: what it writes to the descriptor that its
    last argument names.

    It has a session of its own, no terminal, no folder of ours, and its other output in `log`.
    Its end, too, is the end of what is read here, unless it has handed the descriptor on.
    """
    _log.debug("$ %s &", shlex.join(argv))
    reading, writing = os.pipe()
    with open(log, "ab", opener=_private) as output:
        try:
            subprocess.run(  # noqa: S603 - argv is ours, and no shell reads it
                [sys.executable, "-I", "-S", str(_DETACHED), *argv, str(writing)],
                cwd="/",
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(writing,),
                umask=0o077,
                check=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
    return os.fdopen(reading, "rb")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def tell_exit(
    process: subprocess.Popen[bytes], loop: AbstractEventLoop, tell: Callable[[int], None]
) -> None:
    """Have this called on an event loop with how a process of `start` has ended; a signal is
    negative. What it has started, and left behind, ends with it.
    """

    def collect() -> int:
        # Before it is waited for: until then, no other group gets its number.
        signal_group(process, signal.SIGKILL)
        return process.wait()

    def ended() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        tell(collect())

    def wait() -> None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        loop.call_soon_threadsafe(lambda: tell(collect()))

    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # macOS, an old kernel, no descriptor left: a thread waits
        threading.Thread(target=wait, name="exit", daemon=True).start()
    else:
        loop.add_reader(handle, ended)


def signal_process(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Signal a server alone; one that has ended is left in peace."""
    process.send_signal(signum)


def signal_group(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Signal a server and everything that it started, if any of it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)


def _open(
    argv: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    *,
    out: int | None,
    error: int | None,
    source: int | None = subprocess.DEVNULL,
    group: int | None = None,
) -> subprocess.Popen[bytes]:
    _log.debug("$ %s", shlex.join(argv))
    return subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
        [*_tether(), *argv],
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=source,
        stdout=out,
        stderr=error,
        process_group=group,
    )


def _tether() -> list[str]:
    """What a program is started through, so that the kernel ends it when we are gone.

    The kernel means the *thread* that started it: servers are started from the main thread.
    """
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(_TETHERED), str(os.getpid())]
