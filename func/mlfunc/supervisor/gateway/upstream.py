"""A connection to an instance: one request at a time, and kept for the next."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from mlfunc.supervisor.gateway.fields import HOP_BY_HOP
from mlfunc.supervisor.gateway.forwarding import BODILESS, ReplyHead

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.exchange import Exchange
    from mlfunc.supervisor.gateway.holding import Place

_INTERIM = 200  # below it: another head follows
_SWITCHING = 101


class Upstream(asyncio.Protocol):
    """`since`: when it was last used. `full`: the instance reads more slowly than we write."""

    _transport: asyncio.Transport
    # Of the reply that is under way.
    _reason: bytes
    _lines: list[bytes]
    _length: bytes | None
    _heard: bool  # a byte of it has come
    _in_body: bool
    _done: bool
    _broken: bool
    _keep: bool  # another may follow
    _until_end: bool  # of the connection: nothing else tells its length

    def __init__(self, place: Place) -> None:
        self._place = place
        self._exchange: Exchange | None = None
        self._kept = False
        self._poll = select.poll()
        self._parser: Any = HttpResponseParser(self)
        self.since = 0.0
        self.full = False
        self._begin()

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """asyncio: some of a reply."""
        exchange = self._exchange
        if exchange is None:  # nobody has asked
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._broken = True
        if self._done:
            self._finish(exchange)
        elif self._broken:
            self._fail(exchange)
        exchange.recipient.flush()

    def eof_received(self) -> None:
        """asyncio: the instance says no more; a reply without a length ends so."""
        exchange = self._exchange
        if exchange is not None and self._until_end and self._in_body:
            self._keep = False
            self._finish(exchange)
            exchange.recipient.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it is closed."""
        self._place.forget(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            kept = self._kept and not self._heard
            exchange.lost(kept=kept, reset=isinstance(exc, ConnectionError))
            exchange.recipient.flush()

    def pause_writing(self) -> None:
        """asyncio: it does."""
        self.full = True
        if self._exchange is not None:
            self._exchange.recipient.pause()

    def resume_writing(self) -> None:
        """asyncio: it has read."""
        self.full = False
        if self._exchange is not None:
            self._exchange.recipient.resume()

    # What an exchange, or the place, says.

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent on it: the end of one that is idle may have arrived."""
        return not (self._transport.is_closing() or self._poll.poll(0))

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Begin."""
        self._exchange = exchange
        self._begin()
        self._transport.write(data)

    def write(self, data: bytes) -> None:
        """More of the request."""
        self._transport.write(data)

    def end(self, exchange: Exchange) -> None:
        """The exchange is over; a reply that is not whole is not waited for."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        if self._done and self._keep and exchange.whole:
            self._kept = True
            self._transport.resume_reading()
            self._place.keep(self)
        else:
            self._transport.abort()

    def close(self) -> None:
        """Nobody needs it."""
        self._transport.close()

    def pause(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    # What httptools says.

    def on_message_begin(self) -> None:
        """httptools: the first byte of a reply, or of what nobody has asked for."""
        self._heard = True
        if self._done:
            self._keep = False

    def on_status(self, reason: bytes) -> None:
        """httptools: what follows the status's number."""
        self._reason = self._reason + reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a field."""
        lower = name.lower()
        if self._in_body:
            return  # trailers are dropped
        if lower == b"content-length":
            self._length = value.strip()
        elif lower == b"transfer-encoding":
            self._until_end = False
        elif lower not in HOP_BY_HOP:
            self._lines.append(b"%b: %b\r\n" % (name, value))

    def on_headers_complete(self) -> None:
        """httptools: the head."""
        exchange = self._exchange
        status = self._parser.get_status_code()
        if status < _INTERIM or exchange is None or self._done:
            self._broken = self._broken or status == _SWITCHING
            return
        self._in_body = True
        self._keep = self._parser.should_keep_alive()
        if self._length is not None or status in BODILESS:
            self._until_end = False
        exchange.reply(ReplyHead(status, self._reason, self._lines, self._length))
        if exchange.request.method == b"HEAD":
            self._done = True  # llhttp waits for a body: see _finish

    def on_body(self, data: bytes) -> None:
        """httptools: some of the body."""
        if self._exchange is not None and not self._done:
            self._exchange.recipient.data(data)

    def on_message_complete(self) -> None:
        """httptools: all of a reply, or of an interim one."""
        if self._in_body:
            self._done = True
        else:
            self._reason, self._lines, self._length = b"", [], None

    def _begin(self) -> None:
        self._reason = b""
        self._lines = []
        self._length = None
        self._heard = self._in_body = self._done = self._broken = False
        self._keep, self._until_end = True, True

    def _finish(self, exchange: Exchange) -> None:
        self._done = True
        if exchange.request.method == b"HEAD":
            self._parser = HttpResponseParser(self)
        exchange.done()

    def _fail(self, exchange: Exchange) -> None:
        self._exchange = None
        self._transport.abort()
        exchange.lost(kept=False, reset=False)
