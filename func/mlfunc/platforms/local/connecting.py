"""A way into the local platform, as into a cluster: its API, on a Unix socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from mlfunc.cluster.access import Access
from mlfunc.cluster.client import Cluster
from mlfunc.errors import ClusterFailed

if TYPE_CHECKING:
    from pathlib import Path

    import urllib3

    from mlfunc.supervisor.home import Home

CONTEXT = "local"
_NAMESPACE = "default"
_SERVER = "http://localhost"
# Those that go on, as watches do, hold one each.
_CONNECTIONS = 32


class NotRunning(ClusterFailed):
    """Nobody listens on the socket."""


def connect(home: Home, namespace: str | None = None) -> Cluster:
    """The local platform of a home.

    Raises:
        NotRunning: its supervisor does not run.

    """
    check(home)
    return Cluster(open_(home), namespace)


def check(home: Home) -> None:
    """Whether a supervisor listens.

    Raises:
        NotRunning: none does.

    """
    try:
        with socket.socket(socket.AF_UNIX) as there:
            there.connect(str(home.socket))
    except OSError as error:
        message = "the local platform does not run"
        raise NotRunning(message, "mlfunc platform start") from error


def open_(home: Home) -> Access:
    """The way, whether or not somebody is there."""
    return Access(
        context=CONTEXT,
        server=_SERVER,
        namespace=_NAMESPACE,
        pool=_pool(home.socket),
        headers=list,
        again=lambda: open_(home),
    )


def _pool(path: Path) -> urllib3.PoolManager:
    import urllib3
    from urllib3.connection import HTTPConnection

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            found = socket.socket(socket.AF_UNIX)
            found.settimeout(_seconds(self.timeout))
            try:
                found.connect(str(path))
            except OSError as error:
                found.close()
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
            return found

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection  # pyright: ignore[reportAssignmentType] - its parent is none, either

    manager = urllib3.PoolManager(maxsize=_CONNECTIONS)
    manager.pool_classes_by_scheme = {"http": Pool}
    return manager


def _seconds(timeout: Any) -> float | None:
    return timeout if isinstance(timeout, int | float) else None
