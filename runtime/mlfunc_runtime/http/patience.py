"""How long a client is waited for: in the midst of a request, and after its refusal."""

from __future__ import annotations

import contextlib
from _socket import SHUT_WR
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from mlfunc_runtime.errors import Problem
from mlfunc_runtime.patching.hub import limit

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from mlfunc_runtime.http.connections import Limits
    from mlfunc_runtime.http.parser import Parser

_LINGER_BYTES = 64 * 2**20
_nowhere = bytearray(65536)


class Patience:
    """Calls `tired` when a request that has begun does not go on.

    One that arrives at once never needs the timer.
    """

    def __init__(
        self, loop: Any, parser: Parser, limits: Limits, tired: Callable[[Problem], None]
    ) -> None:
        self._loop = loop
        self._parser = parser
        self._limits = limits
        self._tired = tired
        self._timer: Any = None
        self._received = 0

    def begin(self) -> None:
        """More is waited for."""
        if self._parser.partial and self._timer is None:
            self._received = self._parser.received
            self._timer = self._loop.timer(self._limits.slow)
            self._timer.start(self._look)

    def end(self) -> None:
        """It is there."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _look(self) -> None:
        self.end()
        limits = self._limits
        if self._parser.received - self._received >= limits.rate * limits.slow:
            self.begin()
        else:
            told = f"too little of the request arrived in {limits.slow:.3g} s"
            self._tired(Problem(408, told))


def linger(sock: socket, seconds: float) -> None:
    """Read what still arrives. Closing a socket with unread input resets the connection, and the
    client may never see why it was refused (RFC 9112, section 9.6).
    """
    left = _LINGER_BYTES
    watcher = get_hub().loop.io(sock.fileno(), 1)
    with contextlib.suppress(OSError), contextlib.closing(watcher), limit(seconds):
        sock.shutdown(SHUT_WR)
        while left > 0 and (size := _receive(sock, watcher)):
            left -= size


def _receive(sock: socket, watcher: Any) -> int:
    while True:
        try:
            return sock.recv_into(_nowhere)
        except BlockingIOError:
            hub: Any = get_hub()
            hub.wait(watcher)
