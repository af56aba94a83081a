"""What takes requests, holds them while there is no room, and hands them on: `parts.Gateway`."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway import fields, files, forwarding, pages, replies, routing
from mlfunc.supervisor.gateway.connection import Connection, Connections
from mlfunc.supervisor.gateway.exchange import Exchange, Outgoing
from mlfunc.supervisor.gateway.fields import Refused
from mlfunc.supervisor.gateway.holding import Revision
from mlfunc.supervisor.gateway.listening import Listener
from mlfunc.supervisor.gateway.parser import Incoming
from mlfunc.supervisor.gateway.within import Within
from mlfunc.supervisor.parts import Key, Load

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from mlfunc.supervisor.gateway.connection import Served, Way
    from mlfunc.supervisor.gateway.exchange import Recipient
    from mlfunc.supervisor.gateway.meter import Stats
    from mlfunc.supervisor.gateway.routing import Destination, Found
    from mlfunc.supervisor.http.messages import Handler, Reply, Request
    from mlfunc.supervisor.parts import Route

_SWEEP = 5.0
_LOCAL = b"127.0.0.1"


class Gateway:
    """To be made while its loop runs. `host` and `port`: where it listens, once it does."""

    def __init__(self) -> None:
        self.host = ""
        self.port = 0
        self._is_private = False  # only this machine reaches it: then no web site shall
        self._table = routing.Table()
        self._revisions: dict[Key, Revision] = {}
        self._own: dict[str, pages.Own] = {}
        self._wakers: list[Callable[[Key], None]] = []
        self._connections = Connections(self._find)
        self._asked_within: set[asyncio.Future[Reply]] = set()
        self._listener: Listener | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # Its life.

    def own(self, prefix: str, handler: Handler, *, near: bool = False) -> None:
        """Answer what begins with this path; the longest of several. `/` is itself alone.

        With `near`, those of this machine alone.
        """
        self._own[prefix] = pages.Own(handler, near=near)

    async def take(self, listening: socket.socket, host: str) -> None:
        """Take the requests of a socket that listens already, at this address."""
        files.allow_many()
        self.host, self.port = host, listening.getsockname()[1]
        self._is_private = routing.is_of_this_machine(host.lower())
        self._listener = Listener(listening, self._connect)
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    async def close(self, seconds: float = 10.0) -> None:
        """Take no more; what is under way is answered, if that takes no longer."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for revision in self._revisions.values():
            revision.close("the platform stops")
        self._connections.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connections.wait_until_none()
                while self._asked_within:
                    await asyncio.wait(self._asked_within)
        self._connections.abort()

    # parts.Gateway.

    def route(self, routes: Sequence[Route]) -> None:
        """All routes there are, from now on."""
        self._table = routing.Table(routes)

    def serve(self, revision: Key, concurrency: int, timeout: float) -> None:
        """There is such a revision: requests to it wait until it has instances."""
        found = self._revisions.get(revision)
        if found is None:
            self._revisions[revision] = Revision(revision, concurrency, timeout, self._woken)
        else:
            found.concurrency, found.timeout = concurrency, timeout

    def forget(self, revision: Key) -> None:
        """There is none any more."""
        found = self._revisions.pop(revision, None)
        if found is not None:
            found.close(f"{revision.name} is not there any more")

    def join(self, revision: Key, instance: str, port: int) -> None:
        """An instance is ready, on a port of this machine."""
        if revision in self._revisions:
            self._revisions[revision].join(instance, port)

    def leave(self, revision: Key, instance: str) -> None:
        """It gets no more requests; those that it has go on."""
        if revision in self._revisions:
            self._revisions[revision].leave(instance)

    def load(self, revision: Key) -> Load:
        """What came since this was last asked."""
        found = self._revisions.get(revision)
        return Load(0.0, 0, 0, 0) if found is None else found.load()

    def stats(self) -> list[Stats]:
        """Of each revision, since it is served."""
        return [each.stats() for each in self._revisions.values()]

    def wake(self, tell: Callable[[Key], None]) -> None:
        """Have this called, at once, when a request comes for a revision without instances."""
        self._wakers.append(tell)

    async def send(self, service: Key, request: Request, timeout: float) -> Reply:
        """A request from within: it waits, is counted and is routed like any."""
        destination = self._table.of(service)
        given = request.header("x-request-id").encode("latin-1") or None
        request_id = fields.identify(given)
        if destination is None:
            told = f"there is no function {service.name} in {service.namespace}"
            return replies.problem(404, told, request_id)
        try:
            exchange, recipient = self._within(destination, request, request_id)
        except Refused as refused:
            return replies.refusal(refused, request_id)
        self._asked_within.add(recipient.reply)
        exchange.begin()
        try:
            async with asyncio.timeout(timeout):
                return await recipient.reply
        except TimeoutError:
            return replies.problem(504, f"no reply within {timeout:g} s", request_id)
        finally:
            self._asked_within.discard(recipient.reply)
            exchange.abandon()

    # What becomes of a request.

    def _connect(self) -> Connection:
        return Connection(self._connections)

    def _find(self, incoming: Incoming) -> Way:
        host = routing.host_of(incoming.known.get(b"host", b""))
        target = incoming.target
        page = None if routing.is_address_of_function(host) else self._page(target)
        if page is not None:
            pages.check(incoming, self.host)
            return page
        found = self._table.find(host, target)
        if self._is_private:
            pages.check_caller(incoming, self.host)
        if found is None:
            raise Refused(404, self._table.near(host, target))
        if incoming.known.get(b"upgrade", b"").lower() == b"websocket":
            raise Refused(501, "websockets are not passed on: functions answer requests of HTTP")
        if found.bare and pages.is_browser(incoming):
            return pages.Own(pages.moved(f"{found.prefix}{found.target.decode('latin-1')}"))
        return ToFunction(self, found)

    def _page(self, target: bytes) -> pages.Own | None:
        path = target.partition(b"?")[0].decode("latin-1")
        if path != "/" and not (path + "/").startswith("/-/"):
            return None
        fits = [prefix for prefix in self._own if prefix != "/" and path.startswith(prefix)]
        if path == "/":
            return self._own.get("/")
        return self._own[max(fits, key=len)] if fits else None

    def pick(self, destination: Destination, tag: str) -> Revision:
        """The revision that gets a request.

        Raises:
            Refused: there is none yet.

        """
        key = destination.pick(random.random(), tag)  # noqa: S311 - it shares load, no secret
        revision = None if key is None else self._revisions.get(key)
        if revision is None:
            raise Refused(503, f"no revision of {destination.service.name} takes requests yet")
        return revision

    def exchange(
        self,
        incoming: Incoming,
        found: Found,
        recipient: Recipient,
        request_id: bytes,
        peer: bytes,
    ) -> Exchange:
        """A request on its way to a function."""
        tag = _tag(incoming)
        revision = self.pick(found.destination, tag)
        given = incoming.known.get(b"host", b"")
        authority = f"{found.destination.name}.{routing.DOMAIN}:{self.port}".encode()
        head = forwarding.request_head(
            incoming,
            found.target,
            host=authority if found.prefix or not given else given,
            prefix=found.prefix.encode(),
            peer=peer,
            request_id=request_id,
        )
        outgoing = Outgoing(request_id, incoming.method, head, incoming.chunked)
        return Exchange(outgoing, recipient, revision)

    def _within(
        self, destination: Destination, request: Request, request_id: bytes
    ) -> tuple[Exchange, Within]:
        incoming = _incoming(request)
        recipient = Within(request_id)
        found = routing.Found(destination, incoming.target)
        exchange = self.exchange(incoming, found, recipient, request_id, _LOCAL)
        exchange.more(request.body)
        exchange.ends()
        return exchange, recipient

    def _woken(self, revision: Key) -> None:
        for tell in self._wakers:
            tell(revision)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._connections.sweep(now)
        for revision in self._revisions.values():
            revision.sweep(now)
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)


class ToFunction:
    """A way: to a function."""

    bound: int | None = None

    def __init__(self, gateway: Gateway, found: Found) -> None:
        self._gateway = gateway
        self._found = found

    def serve(self, incoming: Incoming, connection: Connection, request_id: bytes) -> Served:
        """Its head is there, and a small body."""
        return self._gateway.exchange(
            incoming, self._found, connection, request_id, connection.peer
        )


def _tag(incoming: Incoming) -> str:
    """A revision may be asked for by a field of the head, too."""
    for name, value in incoming.fields:
        if name == b"knative-serving-tag":
            return value.decode("latin-1")
    return ""


def _incoming(request: Request) -> Incoming:
    """A request from within, as if it had come from a client."""
    pairs = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in request.headers]
    known = {name: value for name, value in pairs if name in fields.OURS}
    known.pop(b"host", None)
    known[b"content-length"] = b"%d" % len(request.body)
    incoming = Incoming(known, [pair for pair in pairs if pair[0] not in fields.OURS])
    incoming.method, incoming.target = request.method.encode(), request.target.encode()
    incoming.whole = incoming.modern = True
    return incoming
