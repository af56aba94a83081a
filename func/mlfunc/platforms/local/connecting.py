"""A way into the local platform, as into a cluster: its API, on a Unix socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from mlfunc.cluster.access import Access
from mlfunc.cluster.client import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from mlfunc.supervisor.home import Home

    Dial = Callable[[float | None], socket.socket]  # seconds that it may take

TITLE = "the local platform"
_CONTEXT = "local"
_NAMESPACE = "default"
_SERVER = "http://localhost"
# Those that go on, as watches do, hold one each.
_CONNECTIONS = 32


def connect(home: Home, namespace: str | None = None) -> Cluster:
    """The local platform of a home; whether its supervisor runs, the first request shows."""

    def dial(timeout: float | None) -> socket.socket:
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(timeout)
        try:
            found.connect(str(home.socket))
        except OSError:
            found.close()
            raise
        return found

    return Cluster(open_(dial), namespace)


def open_(dial: Dial) -> Access:
    """The way there, by connections of this kind."""
    return Access(
        context=_CONTEXT,
        server=_SERVER,
        namespace=_NAMESPACE,
        pool=_pool(dial),
        headers=list,
        again=lambda: open_(dial),
        named=TITLE,
        help="mlfunc platform status shows whether it runs, and where its log is",
    )


def _pool(dial: Dial) -> urllib3.PoolManager:
    import urllib3
    from urllib3.connection import HTTPConnection

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            try:
                return dial(_seconds(self.timeout))
            except OSError as error:
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection  # pyright: ignore[reportAssignmentType] - its parent is none, either

    manager = urllib3.PoolManager(maxsize=_CONNECTIONS)
    manager.pool_classes_by_scheme = {"http": Pool}
    return manager


def _seconds(timeout: Any) -> float | None:
    return timeout if isinstance(timeout, int | float) else None
