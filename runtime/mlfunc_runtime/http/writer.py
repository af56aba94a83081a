"""Bytes out: at once where the socket takes them, else as fast as the peer reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from mlfunc_runtime.messages import Gone
from mlfunc_runtime.patching.hub import limit

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
        watcher = get_hub().loop.io(self._sock.fileno(), 2)
        try:
            while rest:
                self._wait(watcher)
                rest = rest[self._send(rest) :]
        finally:
            watcher.close()

    def _wait(self, watcher: Any) -> None:
        """Until the socket takes more. The kernel says so only when a third of what it holds was
        read: megabytes, that is minutes on a slow line.
        """
        here: Any = get_hub()
        left = self._unread()
        while True:
            with limit(self._patience):
                here.wait(watcher)
                return
            before, left = left, self._unread()
            if left >= before:
                raise Gone

    def _unread(self) -> int:
        """Bytes that the peer has not acknowledged."""
        from fcntl import ioctl
        from termios import TIOCOUTQ

        return int.from_bytes(ioctl(self._sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
