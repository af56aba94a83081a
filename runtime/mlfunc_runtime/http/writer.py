"""Bytes out: at once where the socket takes them, else as fast as the peer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.timeout import Timeout

from mlfunc_runtime.messages import Gone

if TYPE_CHECKING:
    from _socket import socket


class Writer:
    """Sends to one socket, which does not block. `busy`: something is sent only in part."""

    __slots__ = ("_patience", "_sock", "busy")

    def __init__(self, sock: socket, patience: float) -> None:
        self._sock = sock
        self._patience = patience
        self.busy = False

    def write(self, data: bytes) -> None:
        """Send all of it; the caller waits while the peer does not read.

        Raises:
            Gone: the peer is not there any more, or read nothing for `patience` seconds.

        """
        sent = self._send(data)
        if sent != len(data):
            self.busy = True
            try:
                self._write_slowly(memoryview(data)[sent:])
            finally:
                self.busy = False

    def try_write(self, data: bytes) -> bool:
        """Send a few bytes without waiting. False: nobody is there to get them."""
        try:
            self._send(data)
        except Gone:
            return False
        return True

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Gone from error

    def _write_slowly(self, rest: memoryview) -> None:
        hub: Any = get_hub()
        watcher = hub.loop.io(self._sock.fileno(), 2)
        try:
            while rest:
                with Timeout(self._patience, Gone):
                    hub.wait(watcher)
                rest = rest[self._send(rest) :]
        finally:
            watcher.close()
