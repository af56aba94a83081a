"""Connections accepted, as long as there are files for them.

asyncio's own server tries a hundred times more, and logs each, when there are none.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_AT_ONCE = 100
_PAUSE = 1.0  # seconds until files may be free again
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """On a socket that listens already."""

    def __init__(self, listening: socket.socket, connect: Callable[[], asyncio.Protocol]) -> None:
        self._listening = listening
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        # Those that are accepted have it from there.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._go_on()

    def close(self) -> None:
        """No more, and nobody waits to be accepted."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, ConnectionError):  # none, or one that has left
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                self._wait(error)
                return
            self._open(accepted)

    def _wait(self, error: OSError) -> None:
        _log.warning("new connections wait %g s: %s", _PAUSE, error.strerror)
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(_PAUSE, self._go_on)

    def _open(self, accepted: socket.socket) -> None:
        opening = self._loop.connect_accepted_socket(self._connect, accepted)
        task: asyncio.Task[object] = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
