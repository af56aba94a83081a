"""The gateway's own pages: who may see them, and how they are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway import replies, routing
from mlfunc.supervisor.gateway.fields import Refused
from mlfunc.supervisor.http.messages import Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlfunc.supervisor.gateway.connection import Connection, Served
    from mlfunc.supervisor.gateway.parser import Incoming
    from mlfunc.supervisor.http.messages import Handler

_log = logging.getLogger(__name__)
_BOUND = 16 * 2**20
_SAFE = (b"GET", b"HEAD", b"OPTIONS")


class Own:
    """A way: a page of our own; with `near`, for those of this machine alone."""

    bound: int | None = _BOUND

    def __init__(self, handler: Handler, *, near: bool = False) -> None:
        self._handler = handler
        self._near = near

    def serve(self, incoming: Incoming, connection: Connection, request_id: bytes) -> Served:
        """Its body is whole.

        Raises:
            Refused: it is for others.

        """
        if self._near and not routing.is_of_this_machine(connection.peer.decode()):
            raise Refused(403, "the dashboard is for this machine: look at it there, or by ssh -L")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in (*incoming.known.items(), *incoming.fields)
        ]
        request = Request(
            incoming.method.decode(), incoming.target.decode(), headers, incoming.take()
        )
        return Page(self._handler, request, connection, request_id)


class Page:
    """A request to one, under way."""

    def __init__(
        self, handler: Handler, request: Request, connection: Connection, request_id: bytes
    ) -> None:
        self._handler = handler
        self._request = request
        self._connection = connection
        self._id = request_id
        self._free = asyncio.Event()  # the client reads
        self._free.set()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Answer it."""
        self._task = asyncio.get_running_loop().create_task(self._answer())

    def more(self, piece: bytes) -> None:
        """Nothing: it was whole when it began."""

    def ends(self) -> None:
        """Nothing."""

    def abandon(self) -> None:
        """The client is gone."""
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """The client reads no more for now."""
        self._free.clear()

    def resume(self) -> None:
        """It does."""
        self._free.set()

    async def _answer(self) -> None:
        try:
            reply = await self._handler(self._request)
        except Exception:  # of a part of ours that has a flaw: others' requests go on
            self._log()
            reply = replies.problem(500, "the platform's log says why", self._id)
        if isinstance(reply.body, bytes):
            self._connection.answer(reply)
            return
        try:
            await self._stream(reply, reply.body)
        except Exception:  # likewise
            self._log()
            self._connection.cut()

    async def _stream(self, reply: Reply, body: AsyncIterator[bytes]) -> None:
        self._connection.begin(replies.head(reply))
        self._connection.flush()
        try:
            async for piece in body:
                self._connection.data(piece)
                self._connection.flush()
                await self._free.wait()
        finally:
            if isinstance(body, AsyncGenerator):  # else it would end some time
                await body.aclose()
        self._connection.end()

    def _log(self) -> None:
        _log.exception("%s %s", self._request.method, self._request.target)


def is_browser(incoming: Incoming) -> bool:
    """Whether it asks for a page, whose addresses are relative to its own."""
    return incoming.method in _SAFE and any(
        name == b"accept" and b"text/html" in value for name, value in incoming.fields
    )


def moved(location: str) -> Handler:
    """Says that it is there."""

    async def handler(_: Request) -> Reply:
        return Reply(308, [("location", location)])

    return handler


def check(incoming: Incoming, given: str) -> None:
    """Refuse what a web page of somebody else asks, by a name that it points here, or from there.

    Raises:
        Refused: it is such.

    """
    _check_host(incoming, given)
    origin = _origin(incoming)
    if origin is not None and origin != incoming.known.get(b"host", b"").lower():
        raise _of_another_site(origin)


def check_caller(incoming: Incoming, given: str) -> None:
    """The same for a function, where only this machine is to reach it: its other pages may.

    Raises:
        Refused: a web site asks.

    """
    _check_host(incoming, given)
    origin = _origin(incoming)
    if origin is None or origin == incoming.known.get(b"host", b"").lower():
        return
    if not routing.is_of_this_machine(routing.host_of(origin)):
        raise _of_another_site(origin)


def _check_host(incoming: Incoming, given: str) -> None:
    authority = incoming.known.get(b"host", b"")
    host = routing.host_of(authority)
    if authority and not routing.is_ours(host, given):
        told = f"{host} is no name of this machine: ask localhost, or start the platform with it"
        raise Refused(403, told)


def _origin(incoming: Incoming) -> bytes | None:
    """Host and port of the page that asks for a change, as browsers say."""
    if incoming.method in _SAFE:
        return None
    origin = next((value for name, value in incoming.fields if name == b"origin"), None)
    return None if origin is None else origin.rpartition(b"//")[2].lower()


def _of_another_site(origin: bytes) -> Refused:
    return Refused(403, f"{origin.decode('latin-1')} is another site")
