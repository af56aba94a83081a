"""The local platform begun, by whoever needs it first."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, BinaryIO

import mlfunc
from mlfunc import proc
from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import saying

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlfunc.supervisor.home import About, Home

# Of one that is started on the way, and then finds nothing to do.
IDLE_SECONDS = 900.0
_PATIENCE = 60.0
_TAIL_BYTES = 4000
# What functions may need of who starts it. All else is that user's alone: what was in the terminal
# of who came first (keys, PYTHONPATH, settings of a function) is not for functions of later.
_HANDED_ON = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "LD_LIBRARY_PATH", "MLFUNC_HOME"),
        *("LANG", "LANGUAGE", "TZ"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_FAMILIES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "NEURON_", "TPU_")
_PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy"})


def ensure_running(home: Home | None = None) -> About:
    """The local platform as it runs, started if it does not: for what cannot be done without.

    Raises:
        MlfuncError: it cannot be started, or is another version's.

    """
    home = home or homes.home()
    about = homes.found(home) or start(home, idle=IDLE_SECONDS)
    if about.version != mlfunc.__version__:
        raise _of_another_version(about)
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
    with proc.detach(argv, env=environment(os.environ), log=home.log) as telling:
        line = _line(telling, home.log)
    if not line:
        raise MlfuncError(
            "the local platform ended before it served",
            f"its log is {home.log}",
            evidence=_tail(home.log, said_before),
        )
    return saying.heard(line)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a supervisor, and the functions that it starts, see of somebody's environment."""
    return {name: value for name, value in environ.items() if _is_handed_on(name)}


def _is_handed_on(name: str) -> bool:
    return name in _HANDED_ON or name.startswith(_FAMILIES) or name.lower() in _PROXIES


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
