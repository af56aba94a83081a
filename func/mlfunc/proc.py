"""The only place that starts processes. None of them outlives this program."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
_TAIL_LINES = 20
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Finished:
    """How a process ended, and the last lines it wrote."""

    code: int
    tail: str


def run(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run to the end, handing on each line as it comes."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with _open(argv, cwd, env, out=subprocess.PIPE, error=subprocess.STDOUT) as process:
        for raw in process.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            tail.append(line)
            _log.debug("%s", line)
            on_line(line)
    return Finished(process.returncode, "\n".join(tail))


def call(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run to the end with our own terminal: the child gets Ctrl-C itself and we wait for it."""
    process = _open(argv, cwd, env, out=None, error=None, source=None)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def start(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a server: its standard error comes to us, its standard output goes where ours goes.

    It gets a process group of its own, so that Ctrl-C reaches us alone and we decide how it ends.
    """
    return _open(argv, cwd, env, out=None, error=subprocess.PIPE, group=0)


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
    stdin: int | IO[bytes] | None = source
    return subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
        list(argv),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=stdin,
        stdout=out,
        stderr=error,
        process_group=group,
        preexec_fn=_die_with_parent(),
    )


def _die_with_parent() -> Callable[[], None] | None:
    """What a child calls before it becomes its program: the kernel ends it when we are gone.

    The library is found here, before the fork: the child may only call it. The signal comes when
    the *thread* that started the child ends, so servers are started from the main thread.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask_kernel
