"""A keep-alive connection of a client that counts its CPU: the least of HTTP that a reply needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# A status that no server sends: the connection ended before the reply was whole.
CUT = 0
# The number of a request, and when it was due.
Ticket = tuple[int, float]


class Connection(asyncio.Protocol):
    """At most one request is under way. Replies have Content-Length. `done` gets the status."""

    transport: asyncio.Transport

    def __init__(self, done: Callable[[Connection, Ticket, int], None]) -> None:
        self._done = done
        self._ticket: Ticket | None = None
        self._buffer = bytearray()
        self._wanted = 0
        self._status = CUT
        self.closed = False

    def send(self, data: bytes, ticket: Ticket) -> None:
        self._ticket, self._wanted = ticket, 0
        self._buffer.clear()
        self.transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            self._read_head(bytes(self._buffer[:end]).lower(), end + 4)
        if self._wanted and len(self._buffer) >= self._wanted:
            self._finish(self._status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self.closed = True
        self._finish(CUT)

    def _read_head(self, head: bytes, start: int) -> None:
        self._status = int(head[9:12])
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self._wanted = start + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
        if b"\r\nconnection: close" in head:
            self.closed = True

    def _finish(self, status: int) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._done(self, ticket, status)
        if self.closed:
            self.transport.close()
