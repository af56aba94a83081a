"""The only place that starts processes. None of them outlives this program."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence

_log = logging.getLogger(__name__)
_TAIL_LINES = 20
_TETHERED = Path(__file__).with_name("tethered.py")


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
        try:
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                tail.append(line)
                _log.debug("%s", line)
                on_line(line)
        except BaseException:
            # Ctrl-C, or nobody to tell any more: it ends before we let go of what it works on.
            process.terminate()
            process.wait()
            raise
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
