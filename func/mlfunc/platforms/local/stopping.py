"""The local platform ended: what its functions have is done first."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.supervisor.home import About, Home

_LOOK_SECONDS = 0.02
# From letting go of its lock to the end of its process.
_LAST_SECONDS = 10.0


def stop(home: Home | None = None, *, timeout: float = 60.0) -> About | None:
    """What has ended; None: it did not run. After so many seconds it ends at once.

    Raises:
        MlfuncError: its files cannot be read.

    """
    home = home or homes.home()
    about = homes.found(home)
    if about is None:
        _has_ended(home, timeout)  # one that ends already
        return None
    with _watched(about.pid) as end:
        # It is still there, so its process id is not another's.
        if homes.found(home) == about:
            _signal(about)
        if not _has_ended(home, timeout):
            _signal(about)
            _has_ended(home, timeout)
        if end:
            select.select(end, [], [], _LAST_SECONDS)
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


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """What can be read from once the process is gone, where the system has such a thing."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # macOS, an old kernel; or it is gone already
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)
