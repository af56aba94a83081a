"""The local platform ended: what its functions have is done first."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from mlfunc.supervisor.home import About, Home

_LOOK_SECONDS = 0.02


def stop(home: Home | None = None, *, timeout: float = 60.0) -> About | None:
    """What has ended; None: it did not run. After so many seconds it ends at once.

    Raises:
        MlfuncError: its files cannot be read.

    """
    home = home or homes.home()
    about = homes.found(home)
    if about is not None:
        _signal(about)
        if not _has_ended(home, timeout):
            _signal(about)
    _has_ended(home, timeout)
    return about


def _signal(about: About) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(about.pid, signal.SIGTERM)


def _has_ended(home: Home, timeout: float) -> bool:
    """Its lock says so, and nothing else does."""
    end = time.monotonic() + timeout
    while homes.is_held(home.lock):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
