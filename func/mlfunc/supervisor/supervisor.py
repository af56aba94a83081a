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
from functools import partial
from typing import TYPE_CHECKING

import mlfunc
from mlfunc.supervisor import api, inheriting, machine, releases, saying, sockets
from mlfunc.supervisor.broker import journal
from mlfunc.supervisor.broker.broker import Broker
from mlfunc.supervisor.control.control import Control
from mlfunc.supervisor.dashboard.dashboard import PREFIX, Dashboard, Platform, Sources
from mlfunc.supervisor.fitting import Counts, Journals, Passages, events_or, pod_logs, until
from mlfunc.supervisor.fleet.logs import Logs
from mlfunc.supervisor.fleet.processes import Processes
from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.home import About
from mlfunc.supervisor.http.messages import Reply
from mlfunc.supervisor.http.server import Server
from mlfunc.supervisor.idling import Idle, Idleness
from mlfunc.supervisor.pruning import Pruning
from mlfunc.supervisor.state import keeping
from mlfunc.supervisor.state.committing import Committer
from mlfunc.supervisor.state.keeping import Kept
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mlfunc.supervisor.home import Home
    from mlfunc.supervisor.http.messages import Handler, Request
    from mlfunc.supervisor.sockets import Entrance
    from mlfunc.supervisor.tenure import Tenure

_log = logging.getLogger(__name__)
# Of requests that are under way when it ends; who stops it may be less patient.
_ANSWER_SECONDS = 600.0
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
        with home.usable():
            entrance = sockets.gateway(home, wish.host, wish.port)
            parts.enter_context(entrance.socket)
        about = _about(wish, entrance)
        await _begin(home, about, entrance.socket, parts, ending, wish.idle)
        tenure.serve(about)
        parts.callback(tenure.leave)
        _say_that_it_serves(about)
        told(about)
        saying.to_systemd("READY=1", os.environ)
        await ending.wait()
        saying.to_systemd("STOPPING=1", os.environ)
        _log.info("ends: what runs is done to its end")


async def _begin(
    home: Home,
    about: About,
    listening: socket.socket,
    parts: AsyncExitStack,
    ending: asyncio.Event,
    idle: float,
) -> None:
    """All parts, one after the other: nobody comes to the gateway before all are there."""
    committer = Committer(home.state, keeping.SCHEMA, journal.SCHEMA)
    parts.push_async_callback(committer.close)
    kept = Kept(home.state, committer)
    parts.push_async_callback(kept.close)
    objects = Objects(kept)
    logs = Logs(home.logs)
    fleet = Processes(logs)
    parts.push_async_callback(fleet.close)
    gateway = Gateway()
    release = partial(releases.load, home, environ=inheriting.inherited(os.environ))
    has = machine.resources()
    control = Control(objects, fleet, gateway, release, about.url, machine=has)
    parts.callback(control.close)
    broker = Broker(committer, objects, gateway, address=about.url)
    parts.push_async_callback(broker.close)
    shown = Sources(objects, fleet, Counts(gateway), Passages(broker, objects), Journals(logs))
    dashboard = Dashboard(shown, Platform(about.url, about.version, about.pid, about.began))
    answers = events_or(broker, api.handler(objects, pod_logs(logs), about.url))
    await _open_api(home, answers, parts)
    _own_pages(gateway, broker, until(ending, dashboard.handle))
    control.start()
    await broker.start()
    pruning = Pruning(home, objects, fleet, logs)
    parts.push_async_callback(pruning.close)
    pruning.start()
    parts.callback(Idleness(objects, Idle(idle, ending.set)).close)
    await gateway.take(listening, about.host)
    parts.push_async_callback(gateway.close, _ANSWER_SECONDS)
    # Before it: whom it turns away, for it ends, has not failed.
    parts.callback(broker.rest)
    # Likewise: a page that is open reads for as long as it is let.
    parts.push_async_callback(dashboard.close)


def _own_pages(gateway: Gateway, broker: Broker, dashboard: Handler) -> None:
    """Nothing of it changes what there is: that is for the API, which its user alone reaches."""
    gateway.own("/", dashboard, near=True)
    gateway.own(PREFIX, dashboard, near=True)
    gateway.own("/-/broker/", broker.handle)
    gateway.own("/-/health", _health)


async def _open_api(home: Home, handler: Handler, parts: AsyncExitStack) -> None:
    with home.usable():
        bound = parts.enter_context(sockets.api(home))
    server = Server(handler)
    await server.listen(bound)
    parts.push_async_callback(server.close)


async def _health(_: Request) -> Reply:
    return Reply(200, [("content-type", "text/plain")], b"serves\n")


def _say_that_it_serves(about: About) -> None:
    _log.info("serves at %s, process %d, version %s", about.url, about.pid, about.version)
    for each in filter(None, (about.moved, about.warning)):
        _log.warning(each)


def _about(wish: Wish, entrance: Entrance) -> About:
    version, moved = mlfunc.__version__, entrance.moved
    return About(os.getpid(), wish.host, entrance.port, version, time.time(), moved)


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
