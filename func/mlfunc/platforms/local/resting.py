"""The local platform while it does not run: what its file has, asked as if it ran.

For what only reads and plans: the API answers in a thread of this program, and keeps nothing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.cluster.client import Cluster
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import connecting
from mlfunc.supervisor import api, sockets
from mlfunc.supervisor.home import About
from mlfunc.supervisor.http.server import Connection, Server
from mlfunc.supervisor.state import keeping
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mlfunc.supervisor.home import Home
    from mlfunc.supervisor.state.keeping import At

Object = dict[str, Any]
_DEPLOYED = (kinds.SERVICE, kinds.TRIGGER)


def connect(home: Home, namespace: str | None = None) -> Cluster:
    """A way to what the file has.

    Raises:
        MlfuncError: it cannot be read.

    """
    return Cluster(connecting.open_(_Answering(home).dial), namespace)


def has_deployed(home: Home) -> bool:
    """Whether there is something that should run.

    Raises:
        MlfuncError: that cannot be read.

    """
    return any(kind in _DEPLOYED for kind, _, _ in _objects(home))


class _Answering:
    """The API on a loop of its own, which ends with this program."""

    def __init__(self, home: Home) -> None:
        gateway = About(0, sockets.LOOPBACK, sockets.kept(home) or sockets.FIRST_PORT, "", 0).url
        self._server = Server(api.handler(Objects(_AsItIs(_objects(home))), _no_logs, gateway))
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="local api").start()

    def dial(self, timeout: float | None) -> socket.socket:
        """A connection to it."""
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        theirs.setblocking(False)
        serving = self._loop.connect_accepted_socket(lambda: Connection(self._server), theirs)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        return ours


class _AsItIs:
    """What is there, and stays so."""

    first_version = 1

    def __init__(self, objects: dict[At, Object]) -> None:
        self.objects = objects

    def put(self, changed: Mapping[At, Object | None], version: int) -> None:
        """What the API says of itself is not kept."""

    async def keep(self, changed: Mapping[At, Object | None]) -> None:  # noqa: ARG002 - refused
        """Nobody may change it."""
        raise MlfuncError("the local platform does not run", "mlfunc platform start")


def _no_logs(pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:  # noqa: ARG001 - as asked
    raise LookupError("the local platform does not run: no instance is there")


def _objects(home: Home) -> dict[At, Object]:
    return keeping.read(home.state) if home.state.exists() else {}
