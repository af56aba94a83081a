"""A cable between a client and a server on loopback: it counts bytes, and can be pinched off."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 64 * 1024


class Wire:
    """`sent` is what went to the server, in bytes, and `received` what came back."""

    def __init__(self, server: str, *, pinched_at: int | None = None) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._pinched_at = pinched_at
        self._lock = threading.Lock()
        self._open = threading.Event()
        self.is_pinched = threading.Event()
        self.sent = 0
        self.received = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def reset(self) -> None:
        """Count from nothing, and let everything through."""
        with self._lock:
            self._pinched_at, self.sent, self.received = None, 0, 0
        self._open.set()

    def carry(self) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            for source, target, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, up), daemon=True).start()

    def close(self) -> None:
        """Accept nothing more; what waits at the pinch goes on."""
        # Closing alone does not wake a thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._open.set()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                self._count(len(piece), up)
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _count(self, size: int, up: bool) -> None:
        with self._lock:
            self.sent += size if up else 0
            self.received += 0 if up else size
            pinched = up and self._pinched_at is not None and self.sent > self._pinched_at
        if pinched:
            self.is_pinched.set()
            self._open.wait()


@contextlib.contextmanager
def wire(server: str, *, pinched_at: int | None = None) -> Iterator[Wire]:
    """A cable to HOST:PORT; beyond `pinched_at` bytes to the server nothing moves until `reset`."""
    cable = Wire(server, pinched_at=pinched_at)
    carrier = threading.Thread(target=cable.carry)
    carrier.start()
    try:
        yield cable
    finally:
        cable.close()
        carrier.join()
