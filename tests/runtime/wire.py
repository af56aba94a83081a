"""A connection in process: the real one, over a pair of sockets, with routes that tell what they got."""

from __future__ import annotations

import _socket
import json
import re
from typing import TYPE_CHECKING, Any

import gevent
from gevent import socket
from mlfunc_runtime.http.connection import Connection
from mlfunc_runtime.http.connections import Connections, Limits
from mlfunc_runtime.messages import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlfunc_runtime.messages import Request

opened: list[Any] = []
LIMITS = Limits(max_body=2**20, slow=5.0)


class Echo:
    """Answers with what it was asked."""

    def __init__(self, answer: Callable[[Request], Reply] | None = None) -> None:
        self.requests: list[Request] = []
        self.statuses: list[int] = []
        self._answer = answer

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        if self._answer is not None:
            return self._answer(request)
        told = {"path": request.path, "size": len(request.body)}
        return Reply(json.dumps(told).encode(), content_type="application/json")

    def sent(self, request: Request, reply: Reply) -> None:
        self.statuses.append(reply.status)


def connect(
    routes: Any, connections: Connections | None = None, *, tcp: bool = False
) -> tuple[Any, gevent.Greenlet]:
    """The client's socket, and what serves it."""
    near, far = _tcp_pair() if tcp else socket.socketpair()
    near.settimeout(20)
    opened.append(near)
    served = _socket.socket(far.family, far.type, far.proto, far.detach())
    served.setblocking(False)
    kept = connections if connections is not None else Connections(LIMITS)
    return near, gevent.spawn(lambda: Connection(served, routes, kept).serve())


def talk(routes: Any, pieces: Iterable[bytes]) -> bytes:
    """All that is answered to these bytes by a server that must close then."""
    near, server = connect(routes)
    with near:
        sending = gevent.spawn(_send, near, pieces)
        received = b"".join(iter(lambda: near.recv(65536), b""))
        sending.join()
    server.get(timeout=20)
    opened.remove(near)
    return received


def statuses(received: bytes) -> list[int]:
    """The statuses of the replies, in order."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received) if code != b"100"]


def _send(near: Any, pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            near.sendall(piece)
            gevent.sleep(0)
        near.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # refused, and closed already


def _tcp_pair() -> tuple[Any, Any]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]
