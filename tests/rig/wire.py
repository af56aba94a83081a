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
        """Accept connections until `close`, and end all of them then."""
        with contextlib.ExitStack() as ends:
            while client := self._accept():
                ends.enter_context(client)
                with contextlib.suppress(ConnectionRefusedError):
                    server = ends.enter_context(socket.create_connection(self._server))
                    self._join(ends, client, server)
            self._open.set()

    def close(self) -> None:
        """Accept nothing more; what waits at the pinch goes on."""
        # Closing alone does not wake a thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> socket.socket | None:
        try:
            return self._listener.accept()[0]
        except OSError:
            self._listener.close()
            return None

    def _join(
        self, ends: contextlib.ExitStack, client: socket.socket, server: socket.socket
    ) -> None:
        for source, target, up in ((client, server, True), (server, client, False)):
            pump = threading.Thread(target=self._pump, args=(source, target, up))
            pump.start()
            ends.callback(pump.join)
        for end in (client, server):
            ends.callback(_hang_up, end)

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                self._count(len(piece), up)
                target.sendall(piece)
        _hang_up(target)

    def _count(self, size: int, up: bool) -> None:
        with self._lock:
            self.sent += size if up else 0
            self.received += 0 if up else size
            pinched = up and self._pinched_at is not None and self.sent > self._pinched_at
        if pinched:
            self.is_pinched.set()
            self._open.wait()


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


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
