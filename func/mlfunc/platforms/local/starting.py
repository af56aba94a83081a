"""The local platform begun, by whoever needs it first."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from typing import TYPE_CHECKING, BinaryIO

import mlfunc
from mlfunc import proc
from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import inheriting, saying

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.supervisor.home import About, Home

_log = logging.getLogger(__name__)
# Of one that is started on the way, and then finds nothing to do.
IDLE_SECONDS = 900.0
_PATIENCE = 60.0
_TAIL_BYTES = 4000


def ensure_running(home: Home | None = None) -> About:
    """The local platform as it runs, started if it does not: for what cannot be done without.

    Raises:
        MlfuncError: it cannot be started, or is another version's.

    """
    home = home or homes.home()
    about = homes.found(home) or _started(home)
    if about.version != mlfunc.__version__:
        raise _of_another_version(about)
    return about


def _started(home: Home) -> About:
    """One that nobody has asked for by name: who stopped it before may wonder."""
    about = start(home, idle=IDLE_SECONDS)
    _log.info("the local platform has started: %s", about.url)
    return about


def start(
    home: Home, *, host: str | None = None, port: int | None = None, idle: float = 0.0
) -> About:
    """One that stays when this program ends; who comes second gets the one of the first.

    Raises:
        MlfuncError: it says why it cannot serve.

    """
    home.prepare()
    said_before = home.log.stat().st_size if home.log.exists() else 0
    asked = {"--home": home.folder, "--host": host, "--port": port, "--idle": idle or None}
    options = [f"{name}={value}" for name, value in asked.items() if value is not None]
    # Not from the current folder, nor from what PYTHONPATH names.
    argv = [sys.executable, "-P", "-m", "mlfunc.supervisor", *options, "--tell"]
    with proc.detach(argv, env=inheriting.inherited(os.environ), log=home.log) as telling:
        line = _line(telling, home.log)
    if not line:
        raise MlfuncError(
            "the local platform ended before it served",
            f"its log is {home.log}",
            evidence=_tail(home.log, said_before),
        )
    about = saying.heard(line)
    if about.moved:
        _log.warning("note: %s", about.moved)
    return about


def _line(telling: BinaryIO, log: Path) -> bytes:
    """What it says, if anything: all of it, to its end where it has failed."""
    end = time.monotonic() + _PATIENCE
    line = b""
    while True:
        if not select.select([telling], [], [], max(0.0, end - time.monotonic()))[0]:
            raise MlfuncError(
                f"the local platform does not serve after {_PATIENCE:.0f} s",
                f"it may wait for one that ends: mlfunc platform status; its log is {log}",
            )
        if not (read := os.read(telling.fileno(), 65536)):
            return line
        line += read


def _tail(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace")


def _of_another_version(about: About) -> MlfuncError:
    return MlfuncError(
        f"the local platform that runs is of mlfunc {about.version}, this is {mlfunc.__version__}",
        "start it anew, what is deployed comes back: mlfunc platform stop && mlfunc platform start",
    )
