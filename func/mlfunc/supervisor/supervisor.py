"""A supervisor: its parts put together, begun in order, and ended in the order that loses nothing.

What is begun last is ended first. So nobody is sent to a part that is not there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlfunc
from mlfunc.supervisor import sockets
from mlfunc.supervisor.home import About
from mlfunc.supervisor.idling import Idleness
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mlfunc.supervisor.home import Home
    from mlfunc.supervisor.tenure import Tenure

_log = logging.getLogger(__name__)
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Wish:
    """What the one who starts it may say."""

    host: str = sockets.LOOPBACK
    port: int | None = None  # of the gateway; 0: any; None: as before
    idle: float = 0.0  # seconds without anything deployed, after which it ends; 0: it stays


async def serve(home: Home, wish: Wish, tenure: Tenure, told: Callable[[About], None]) -> None:
    """Serve until it is told to end; `told` is called once it does.

    Raises:
        MlfuncError: it cannot.

    """
    ending = asyncio.Event()
    _heed_signals(ending)
    async with AsyncExitStack() as parts:
        listening = await _begin(home, wish, ending, parts)
        about = _about(wish, listening)
        tenure.serve(about)
        parts.callback(tenure.leave)
        _log.info("serves at %s, process %d, version %s", about.url, about.pid, about.version)
        if warning := about.warning:
            _log.warning(warning)
        told(about)
        await ending.wait()
        _log.info("ends: what runs is done to its end")


async def _begin(
    home: Home, wish: Wish, ending: asyncio.Event, parts: AsyncExitStack
) -> socket.socket:
    """All parts, one after the other."""
    objects = Objects()
    # Before anything is started that would have to be ended again.
    with home.usable():
        listening = parts.enter_context(sockets.gateway(home, wish.host, wish.port))
        parts.enter_context(sockets.api(home))
    parts.callback(Idleness(objects, wish.idle, ending.set).close)
    return listening


def _about(wish: Wish, listening: socket.socket) -> About:
    port = listening.getsockname()[1]
    return About(os.getpid(), wish.host, port, mlfunc.__version__, time.time())


def _heed_signals(ending: asyncio.Event) -> None:
    """The first one ends it; a second one at once: no more is lost than a kill would lose."""

    def heed(signum: signal.Signals) -> None:
        if ending.is_set():
            _log.warning("ends at once: %s came again", signum.name)
            logging.shutdown()
            os._exit(128 + signum)
        ending.set()

    loop = asyncio.get_running_loop()
    for signum in _ENDS:
        loop.add_signal_handler(signum, heed, signum)
    if sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
