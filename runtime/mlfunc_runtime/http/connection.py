"""One connection: requests in, one after the other, each answered before the next.

A greenlet answers; a watcher on the hub reads, for as long as the connection lives. So nothing is
registered with the kernel per request, and a client that leaves is noticed while its request waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent

from mlfunc_runtime.http import exchange, render
from mlfunc_runtime.http.departure import Departure
from mlfunc_runtime.http.fields import identify
from mlfunc_runtime.http.parser import Parser
from mlfunc_runtime.http.patience import Patience, linger
from mlfunc_runtime.http.writer import Writer
from mlfunc_runtime.messages import CLIENT_GONE, Gone, Reply, Request, StreamBody
from mlfunc_runtime.patching import hub
from mlfunc_runtime.replies import problem

if TYPE_CHECKING:
    from _socket import socket

    from mlfunc_runtime.errors import Problem
    from mlfunc_runtime.http.connections import Connections
    from mlfunc_runtime.http.exchange import Routes
    from mlfunc_runtime.http.parser import Incoming

# One for all: what is received is parsed, or copied, before anybody else can receive.
_buffer = bytearray(256 * 1024)
_view = memoryview(_buffer)
_SLICE = 4096  # bytes that are parsed in one go, unless they are the body of one request


class Connection:
    """Serves one client over a socket that does not block.

    `idle`: between two requests, `since` a time of the loop's clock.
    """

    def __init__(self, sock: socket, routes: Routes, connections: Connections) -> None:
        self._sock = sock
        self._routes = routes
        self._connections = connections
        self._limits = limits = connections.limits
        self._hub: Any = get_hub()
        self._greenlet: Any = getcurrent()
        self._parser = Parser(limits.max_body)
        self._writer = Writer(sock, limits.send)
        self._departure = Departure(self._hub.loop, sock, self._writer, self._lost)
        self._patience = Patience(self._hub.loop, self._parser, limits, self._tired)
        self._reader: Any = self._hub.loop.io(sock.fileno(), 1)
        self._ahead = bytearray()  # received while a request was under way
        self._waiting = False  # the greenlet waits for the next request
        self._over = False  # the client sends no more; it may read still
        self._gone = False  # it does neither
        self._under_way: Request | None = None
        self._sending = False  # the reply to it
        self._modern = False  # it came with HTTP/1.1
        self.since = self._hub.loop.now()

    @property
    def idle(self) -> bool:
        """Nothing has arrived that is not answered."""
        return self._waiting and not self._parser.partial

    def serve(self) -> None:
        """Until one side has enough; to be called in the greenlet that made it."""
        self._connections.add(self)
        self._reader.start(self._readable)
        try:
            while (incoming := self._next()) is not None:
                if not self._converse(incoming):
                    break
            else:
                self._refuse()
        finally:
            self._close()

    def retire(self) -> None:
        """Close it, if it is idle; called on the hub."""
        if self.idle:
            self._over = True
            self._wake()

    def _next(self) -> Incoming | None:
        """The next request; None: there will be none."""
        parser = self._parser
        while not parser.ready:
            if parser.refused or parser.finished or self._gone:
                return None
            if self._ahead:
                self._take_ahead()
            elif self._over:
                return None
            else:
                self._wait()
        return parser.ready.popleft()

    def _wait(self) -> None:
        self.since = self._hub.loop.now()
        self._waiting = True
        self._continue()
        self._patience.begin()
        try:
            self._hub.switch()
        finally:
            self._waiting = False
            self._patience.end()

    def _wake(self) -> None:
        if self._waiting:
            self._greenlet.switch()

    def _readable(self) -> None:
        """On the hub: something has arrived, or the client is gone."""
        try:
            size = self._sock.recv_into(_buffer)
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        if not size:
            self._ended()
        elif self._waiting:
            self._take(_view[:size])
        else:
            self._keep(_view[:size])

    def _take(self, data: memoryview) -> None:
        parser = self._parser
        rest = self._feed(data)
        if parser.ready or parser.refused:
            self._keep(rest)
            self._greenlet.switch()
        else:
            self._continue()
            self._patience.begin()

    def _keep(self, data: memoryview) -> None:
        """More requests, while one is under way."""
        self._ahead += data
        if len(self._ahead) > self._limits.pipelined:
            self._reader.stop()

    def _take_ahead(self) -> None:
        hub.turn()  # whoever has sent a thousand requests at once is not the only one
        data, self._ahead = self._ahead, bytearray()
        rest = bytes(self._feed(memoryview(data)))
        self._ahead[:0] = rest
        if self._over:
            if not self._ahead:
                self._parser.ends()
        elif not self._reader.active and len(self._ahead) <= self._limits.pipelined:
            self._reader.start(self._readable)

    def _feed(self, data: memoryview) -> memoryview:
        """Parse up to the first requests that are complete; the rest is not looked at yet: small
        requests take fifty times the memory of their bytes.
        """
        parser = self._parser
        while data and not (parser.ready or parser.refused or parser.finished):
            size = max(_SLICE, parser.wanted)
            parser.feed(data[:size])
            data = data[size:]
        return data

    def _continue(self) -> None:
        """The client waits to be told that its body is wanted."""
        if self._parser.expects and not self._parser.ready:
            self._parser.expects = False
            self._writer.try_write(render.CONTINUE)

    def _ended(self) -> None:
        """On the hub: the client sends no more."""
        self._reader.stop()
        self._over = True
        if not self._ahead:
            self._parser.ends()
        if self._under_way is not None:
            self._ask_if_gone()
        self._wake()

    def _ask_if_gone(self) -> None:
        """The client sends no more while its request is under way: it may have left."""
        if self._modern:
            self._departure.begin()

    def _lost(self) -> None:
        """On the hub: the client is gone.

        What waits on its behalf is ended; what a slot has begun goes on, and `cancelled` tells it.
        """
        self._reader.stop()
        self._departure.end()
        self._over = self._gone = True
        request = self._under_way
        if request is None:
            self._wake()
            return
        if not request.remembered:
            request.cancelled = True
            request.close_streams()
        if self._sending or not request.begun:
            self._greenlet.throw(Gone())

    def _converse(self, incoming: Incoming) -> bool:
        """Answer a request; whether another may follow."""
        request = self._under_way = incoming.request
        reply = None
        try:
            self._modern = incoming.modern
            if self._over:
                self._ask_if_gone()
            reply = exchange.answer(self._routes, request)
            self._sending = True
            keep = self._send(reply, incoming)
        except Gone:
            keep, self._gone = False, True
        finally:
            self._under_way, self._sending = None, False
            self._departure.end()
            if reply is not None:
                self._sent(request, reply)
        return keep

    def _send(self, reply: Reply, incoming: Incoming) -> bool:
        if self._gone:
            return False
        more = self._ahead or self._parser.ready
        last = self._connections.draining and not more
        return exchange.send(
            self._writer,
            reply,
            incoming.request,
            keep=incoming.keep and not last,
            chunked=incoming.modern,
            streaming=self._departure.streaming,
        )

    def _sent(self, request: Request, reply: Reply) -> None:
        if isinstance(reply.body, StreamBody):
            reply.body.close()
        if self._gone:
            reply = Reply(status=CLIENT_GONE)
        self._routes.sent(request, reply)

    def _refuse(self) -> None:
        """Say what was wrong with what arrived; there is no way to tell where it ends."""
        if self._parser.refused is None or self._gone:
            return
        request = Request(request_id=identify(None))
        reply = problem(self._parser.refused, request)
        if self._writer.try_write(render.whole(reply, request, keep=False)):
            self._connections.remove(self)
            self._reader.stop()
            linger(self._sock, self._limits.linger)

    def _tired(self, refused: Problem) -> None:
        self._parser.refused = refused
        self._wake()

    def _close(self) -> None:
        self._connections.remove(self)
        self._patience.end()
        self._departure.end()
        self._reader.stop()
        self._reader.close()
        self._sock.close()
