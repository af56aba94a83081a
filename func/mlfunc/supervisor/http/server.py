"""HTTP/1.1 on a socket of the machine, for the supervisor's own API: bytes to a Handler and back.

Requests of a connection are answered one after the other. A client that leaves cancels what is
done for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError
from mlfunc.supervisor.http.messages import Reply, Request, json_reply

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, AsyncIterator

    from mlfunc.supervisor.http.messages import Handler

_log = logging.getLogger(__name__)

MOST_HEAD = 64 * 1024
MOST_BODY = 8 * 1024 * 1024
_MOST_AHEAD = 16  # requests of a connection that wait for their turn
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server:
    """Listens until it is closed."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None

    async def listen(self, bound: socket.socket) -> None:
        """On a Unix socket, from now on."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_unix_server(lambda: Connection(self), sock=bound)

    async def close(self) -> None:
        """Take no more, and end what goes on."""
        if self._listening is not None:
            self._listening.close()
        await asyncio.gather(*(each.end() for each in list(self.connections)))


class Connection(asyncio.Protocol):
    """Of one client."""

    def __init__(self, server: Server) -> None:
        import httptools

        self._server = server
        self._parser: Any = httptools.HttpRequestParser(self)
        self._requests: asyncio.Queue[tuple[Request, bool] | Reply] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._task: asyncio.Task[None] = None  # type: ignore[assignment]
        self._reset()

    async def end(self) -> None:
        """Close it, whatever is done."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - as of all sockets
        self._transport = transport
        self._writable.set()
        self._server.connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        import httptools

        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # an offer, which may be left alone
            self._transport.pause_reading()
        except httptools.HttpParserError as error:
            cause = error.__context__
            told = cause.reply if isinstance(cause, _TooLarge) else _problem(400, str(error))
            self._refuse(told)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """The client has left."""
        self._server.connections.discard(self)
        self._task.cancel()

    def pause_writing(self) -> None:
        """It reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has read."""
        self._writable.set()

    # What httptools calls.

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._grow(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One."""
        self._grow(len(name) + len(value))
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The body comes, if the client need not wait for a word."""
        headers = dict(self._headers)
        if headers.get("content-length", "0").isdigit():
            self._check_body(int(headers.get("content-length", "0")))
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._check_body(len(self._body) + len(body))
        self._body += body

    def on_message_complete(self) -> None:
        """Whole."""
        method = self._parser.get_method().decode()
        target = self._target.decode("latin-1")
        request = Request(method, target, self._headers, bytes(self._body))
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._requests.put_nowait((request, keep))
        if self._requests.qsize() >= _MOST_AHEAD:
            self._transport.pause_reading()
        self._reset()

    def _reset(self) -> None:
        self._target, self._body = b"", bytearray()
        self._headers: list[tuple[str, str]] = []
        self._head = 0

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > MOST_HEAD:
            raise _TooLarge(_problem(431, f"more than {MOST_HEAD} bytes of headers"))

    def _check_body(self, size: int) -> None:
        if size > MOST_BODY:
            raise _TooLarge(_problem(413, f"more than {MOST_BODY} bytes"))

    def _refuse(self, told: Reply) -> None:
        """Nobody can tell where what is wrong ends: it is the last that is read."""
        self._transport.pause_reading()
        self._requests.put_nowait(told)

    # What is done for the client.

    async def _serve(self) -> None:
        try:
            while await self._answer_next():
                self._transport.resume_reading()
        except Exception:  # a body that breaks off: the client sees that it is not whole
            _log.exception("a reply broke off")
            self._transport.abort()
        finally:
            self._transport.close()

    async def _answer_next(self) -> bool:
        """Whether there may be another."""
        match await self._requests.get():
            case Reply() as refusal:
                await self._send("", refusal, keep=False)
                return False
            case request, keep:
                await self._send(request.method, await self._handled(request), keep=keep)
                return keep

    async def _handled(self, request: Request) -> Reply:
        try:
            return await self._server.handler(request)
        except MlfuncError as error:
            return _problem(500, error.message)
        except Exception:  # the one place: a mistake of ours ends a request, not the supervisor
            _log.exception("%s %s", request.method, request.path)
            return _problem(500, "the supervisor has made a mistake; its log has it")

    async def _send(self, method: str, reply: Reply, *, keep: bool) -> None:
        if isinstance(reply.body, bytes):
            size = [("content-length", str(len(reply.body)))]
            self._transport.write(_head(reply, size, keep=keep))
            self._transport.write(b"" if method == "HEAD" else reply.body)
            await self._writable.wait()
            return
        self._transport.write(_head(reply, [("transfer-encoding", "chunked")], keep=keep))
        async with contextlib.aclosing(_closable(reply.body)) as pieces:
            async for piece in pieces:
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await self._writable.wait()
        self._transport.write(b"0\r\n\r\n")


class _TooLarge(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


async def _closable(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """A generator is closed when the client leaves; another iterator is merely left."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def _head(reply: Reply, more: list[tuple[str, str]], *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in (*reply.headers, *more)]
    lines += [] if keep else ["connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _problem(status: int, detail: str) -> Reply:
    """As the API says what it refuses."""
    return json_reply(status, {"kind": "Status", "message": detail, "code": status})
