"""A client's connection: requests in, one after the other, each answered before the next.

A request's body goes on as it comes, no faster than it is taken; a small one is whole before it
takes a place in an instance, so that a slow client keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from mlfunc.supervisor.gateway import fields, forwarding, replies
from mlfunc.supervisor.gateway.fields import Refused
from mlfunc.supervisor.gateway.parser import Parser
from mlfunc.supervisor.gateway.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.supervisor.gateway.forwarding import ReplyHead
    from mlfunc.supervisor.gateway.parser import Incoming
    from mlfunc.supervisor.http.messages import Reply

_SLICE = 16384  # bytes that are parsed in one go, unless they are the body of one request
_SMALL = 65536  # a body that is waited for
_AHEAD = 65536  # bytes of further requests that are kept while one is under way
_IDLE = 120.0
_SLOW = 30.0  # so long a head, and a small body, may take
_LINGER = 2.0  # so long what is refused is still read: closed before, the reply may be lost


class Served(Protocol):
    """A request that is under way."""

    def begin(self) -> None:
        """Its head is there, and maybe more."""
        ...

    def more(self, piece: bytes) -> None:
        """Some of its body."""
        ...

    def ends(self) -> None:
        """All of its body."""
        ...

    def abandon(self) -> None:
        """The client is gone."""
        ...

    def pause(self) -> None:
        """The client reads no more of the reply for now."""
        ...

    def resume(self) -> None:
        """It does."""
        ...


class Way(Protocol):
    """What becomes of a request, by its head."""

    bound: int | None  # bytes: a body is whole, and not more, before it is served

    def serve(self, incoming: Incoming, connection: Connection, request_id: bytes) -> Served:
        """It is to be begun."""
        ...


class Connections:
    """All that are open. `draining`: each reply is its connection's last."""

    def __init__(self, find: Callable[[Incoming], Way]) -> None:
        self.find = find  # raises Refused
        self.draining = False
        self._open: set[Connection] = set()
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """It is open."""
        self._open.add(connection)
        self._none.clear()

    def remove(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        if not self._open:
            self._none.set()

    async def wait_until_none(self) -> None:
        """Until all are closed."""
        await self._none.wait()

    def drain(self) -> None:
        """Close what is idle; what is under way is answered."""
        self.draining = True
        for each in list(self._open):
            each.retire()

    def sweep(self, now: float) -> None:
        """Close what has been idle, or slow, for too long."""
        for each in list(self._open):
            each.look(now)

    def abort(self) -> None:
        """Close all."""
        for each in list(self._open):
            each.transport.abort()


class Connection(asyncio.Protocol):
    """Serves one client."""

    transport: asyncio.Transport
    _writer: Writer

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._parser = Parser()
        self._incoming: Incoming | None = None  # the one that is served
        self._id = b""
        self._way: Way | None = None
        self._served: Served | None = None
        self._ahead = bytearray()
        self._working = False  # _work is further up the stack
        self._held = False  # whoever gets the body takes no more for now
        self._choked = False  # the client reads no more for now
        self._lingering = False  # the last reply is out
        self._stopped = False  # nothing is read
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self.peer = b""

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._writer = Writer(self.transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]).encode() if peer else b"unknown"
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: something has arrived."""
        if self._lingering:
            return
        incoming = self._incoming
        if incoming is None and not self._parser.partial:
            self._since = self._loop.time()
        if self._ahead or (self._served is not None and incoming is not None and incoming.whole):
            self._ahead += data
            self._steer()
        elif len(data) <= max(_SLICE, self._parser.wanted):
            self._parser.feed(data)
            self._work()
        else:
            self._ahead += data
            self._work()

    def eof_received(self) -> None:
        """asyncio: the client says no more. As with Go's servers, and Envoy: it has left."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        """asyncio: it is closed."""
        self._connections.remove(self)
        self._leave()

    def pause_writing(self) -> None:
        """asyncio: the client reads more slowly than we write."""
        self._choked = True
        if self._served is not None:
            self._served.pause()

    def resume_writing(self) -> None:
        """asyncio: it has read."""
        self._choked = False
        if self._served is not None:
            self._served.resume()

    # What all connections are told.

    def retire(self) -> None:
        """Close it, if it is idle."""
        if self._incoming is None and not self._parser.partial and not self._lingering:
            self.transport.close()

    def look(self, now: float) -> None:
        """Close it, if it was idle, or slow, for too long."""
        if self._served is not None or self._lingering:
            return
        if self.transport.get_write_buffer_size() and now - self._since > _IDLE:
            self.transport.abort()
        elif (self._parser.partial or self._incoming) and now - self._since > _SLOW:
            self._refuse(Refused(408, f"the request was not there within {_SLOW:g} s"))
        elif now - self._since > _IDLE:
            self.transport.close()

    # What whoever answers says: exchange.Recipient.

    def begin(self, head: ReplyHead) -> None:
        """The head of a reply."""
        if self._incoming is not None:
            self._writer.begin(head, self._incoming, last=self._connections.draining)
        if self._choked and self._served is not None:
            self._served.pause()

    def data(self, piece: bytes) -> None:
        """Some of its body."""
        self._writer.data(piece)

    def end(self) -> None:
        """All of it: the next request may follow."""
        self._writer.end()
        incoming, self._incoming, self._served = self._incoming, None, None
        self._held = False
        self._since = self._loop.time()
        if not self._writer.keep:
            self._close(unread=incoming is None or not incoming.whole or bool(self._ahead))
            return
        self._work()
        if self._connections.draining:
            self.retire()

    def flush(self) -> None:
        """What was handed over goes out."""
        self._writer.flush()

    def cut(self) -> None:
        """The reply will not be whole."""
        self._served = None
        self._writer.cut()

    def answer(self, reply: Reply) -> None:
        """A reply that is whole."""
        self.begin(replies.head(reply))
        self.data(replies.body(reply))
        self.end()

    def pause(self) -> None:
        """Take no more of the body for now."""
        self._held = True
        self._steer()

    def resume(self) -> None:
        """Take more."""
        self._held = False
        incoming = self._incoming
        if incoming is not None and incoming.expects and not incoming.whole:
            self._continue(incoming)
        self._work()

    # One step after the other.

    def _work(self) -> None:
        """Do what can be done; what is called from within may call this again."""
        if self._working:
            return
        self._working = True
        try:
            while self._step():
                pass
        finally:
            self._working = False
        self._steer()

    def _step(self) -> bool:
        """Whether there may be more to do."""
        if self._lingering or self.transport.is_closing():
            return False
        if self._incoming is None:
            return self._next()
        if self._served is None:
            return self._begin_or_wait(self._incoming)
        return self._hand_on(self._incoming, self._served)

    def _next(self) -> bool:
        """Turn to the next request."""
        if self._parser.ready:
            self._incoming = self._parser.ready.popleft()
            self._id = fields.identify(self._incoming.known.get(b"x-request-id"))
            self._way = None
            return True
        if self._parser.refused is not None:
            self._refuse(self._parser.refused)
            return False
        return self._feed_ahead()

    def _begin_or_wait(self, incoming: Incoming) -> bool:
        try:
            way = self._way = self._way or self._connections.find(incoming)
            if _is_waited_for(incoming, way) and not incoming.whole:
                return self._wait_for(incoming)
            served = self._served = way.serve(incoming, self, self._id)
        except Refused as refused:
            self.answer(replies.refusal(refused, self._id))
            return True
        self._hand_over(incoming, served)
        served.begin()
        return self._incoming is not incoming or not incoming.whole

    def _wait_for(self, incoming: Incoming) -> bool:
        if self._parser.refused is not None:
            self._refuse(self._parser.refused)
            return False
        self._continue(incoming)
        return self._feed_ahead()

    def _hand_on(self, incoming: Incoming, served: Served) -> bool:
        """More of the body of a request that is under way."""
        self._hand_over(incoming, served)
        if incoming.whole:
            return False
        if self._parser.refused is not None:
            self._break_off(served, self._parser.refused)
            return False
        return not self._held and self._feed_ahead()

    def _hand_over(self, incoming: Incoming, served: Served) -> None:
        if incoming.pieces:
            served.more(incoming.take())
        if incoming.whole and not incoming.ended:
            incoming.ended = True
            served.ends()

    def _break_off(self, served: Served, refused: Refused) -> None:
        """The body goes wrong."""
        served.abandon()
        if self._writer.begun:
            self.cut()
        else:
            self._refuse(refused)

    def _feed_ahead(self) -> bool:
        """Parse some more of what has arrived; small requests take fifty times their bytes."""
        if not self._ahead:
            return False
        size = max(_SLICE, self._parser.wanted)
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        self._parser.feed(data)
        return True

    def _steer(self) -> None:
        """Read, or do not."""
        incoming = self._incoming
        busy = self._served is not None and incoming is not None and incoming.whole
        stop = self._held if not busy else len(self._ahead) > _AHEAD
        if stop != self._stopped and not self.transport.is_closing():
            self._stopped = stop
            (self.transport.pause_reading if stop else self.transport.resume_reading)()

    def _continue(self, incoming: Incoming) -> None:
        """The client waits to be told that its body is wanted."""
        if incoming.expects:
            del incoming.known[b"expect"]
            if not incoming.size:
                self.transport.write(forwarding.CONTINUE)

    def _refuse(self, refused: Refused) -> None:
        """Say what was wrong with what arrived; there is no way to tell where it ends."""
        reply = replies.refusal(refused, fields.identify(None))
        self._incoming, self._served = None, None
        head = forwarding.reply_head(replies.head(reply), keep=False, chunked=False)
        self.transport.write(head + replies.body(reply))
        self._close(unread=True)

    def _close(self, *, unread: bool) -> None:
        """Closing with unread input resets the connection: a reply may get lost (RFC 9112, 9.6)."""
        if not unread:
            self.transport.close()
            return
        self._lingering = True
        self._ahead.clear()
        self._held = False
        self._steer()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._loop.call_later(_LINGER, self.transport.abort)

    def _leave(self) -> None:
        served, self._served = self._served, None
        if served is not None:
            served.abandon()


def _is_waited_for(incoming: Incoming, way: Way) -> bool:
    """Whether the body is to be whole before anything is done.

    Raises:
        Refused: it is larger than it may be.

    """
    if way.bound is None:
        return not incoming.chunked and incoming.length <= _SMALL
    if max(incoming.length, incoming.size) > way.bound:
        raise Refused(413, f"the body is larger than {way.bound} bytes")
    return True
