"""What a client of the socket sees, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.http import server
from mlfunc.supervisor.http.messages import Reply, Request, json_reply

from tests.rig import localapi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from mlfunc.supervisor.http.messages import Handler

    Serve = Callable[[Handler], Callable[[], socket.socket]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Servers, and how to reach them, until the test ends."""
    with contextlib.ExitStack() as running:

        def start(handler: Handler) -> Callable[[], socket.socket]:
            home, _ = running.enter_context(localapi.handling(tmp_path, lambda: handler))

            def reach() -> socket.socket:
                found = running.enter_context(socket.socket(socket.AF_UNIX))
                found.settimeout(10)
                found.connect(str(home.socket))
                return found

            return reach

        yield start


async def echo(request: Request) -> Reply:
    return json_reply(200, [request.method, request.target, request.body.decode()])


def read(client: socket.socket, end: bytes) -> bytes:
    """All that comes until then."""
    found = b""
    while not found.endswith(end):
        data = client.recv(65536)
        if not data:
            break
        found += data
    return found


def rest(client: socket.socket) -> bytes:
    return read(client, b"never")


def test_a_connection_is_kept_for_the_next_request(serve: Serve) -> None:
    client = serve(echo)()

    for path in (b"/a?b=c", b"/d"):
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        told = read(client, b"]")
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"content-length: " in told
        assert told.endswith(b'["GET","%b",""]' % path)


def test_requests_that_come_at_once_are_answered_in_their_order(serve: Serve) -> None:
    client = serve(echo)()

    client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % each for each in range(200)))

    told = read(client, b'"/199",""]')
    assert [b'"/%d"' % each in told for each in range(200)] == [True] * 200
    assert told.index(b'"/3"') < told.index(b'"/150"')


def test_a_body_comes_in_pieces_and_is_waited_for(serve: Serve) -> None:
    client = serve(echo)()
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    client.sendall(head)
    assert read(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    for piece in (b"3\r\nab", b"c\r\n", b"1\r\nd\r\n0\r\n\r\n"):
        client.sendall(piece)

    assert read(client, b"]").endswith(b'["POST","/","abcd"]')


def test_a_client_may_want_it_closed(serve: Serve) -> None:
    client = serve(echo)()

    client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    told = rest(client)
    assert b"connection: close" in told
    assert b"content-length: 15" in told
    assert told.endswith(b"\r\n\r\n"), "there is no body after HEAD"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\na: %b\r\n\r\n" % (b"x" * server.MOST_HEAD), b"431"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * server.MOST_HEAD), b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (server.MOST_BODY + 1), b"413"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (server.MOST_BODY + 1)
            + b"x" * (server.MOST_BODY + 1),
            b"413",
        ),
    ],
    ids=["no HTTP", "no length", "long head", "long target", "long body", "long chunk"],
)
def test_what_is_wrong_is_refused_and_is_the_last(serve: Serve, sent: bytes, status: bytes) -> None:
    client = serve(echo)()

    def send() -> None:
        with contextlib.suppress(OSError):  # it reads no more
            client.sendall(sent)

    sending = threading.Thread(target=send)
    sending.start()
    told = rest(client)
    sending.join()

    assert told.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in told


def test_another_protocol_is_not_taken_up(serve: Serve) -> None:
    client = serve(echo)()

    client.sendall(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")

    told = rest(client)
    assert told.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in told


def test_a_stream_comes_piece_by_piece(serve: Serve) -> None:
    more = asyncio.Event()

    async def handle(_: Request) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            yield b""
            await more.wait()
            yield b"two"

        return Reply(200, [], pieces())

    async def both(request: Request) -> Reply:
        if request.path == "/more":
            more.set()
            return Reply(200)
        return await handle(request)

    reach = serve(both)
    client, other = reach(), reach()
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"transfer-encoding: chunked" in read(client, b"3\r\none\r\n")

    other.sendall(b"GET /more HTTP/1.1\r\nHost: x\r\n\r\n")

    assert read(client, b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
    client.sendall(b"GET /more HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_ends_what_is_done_for_it(serve: Serve) -> None:
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def handle(request: Request) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                await asyncio.Event().wait()
            finally:
                ended.put("stream")

        if request.path == "/stream":
            return Reply(200, [], pieces())
        try:
            await asyncio.Event().wait()
        finally:
            ended.put("reply")
        return Reply(200)

    reach = serve(handle)
    stream, reply = reach(), reach()
    stream.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    read(stream, b"one\r\n")
    stream.close()
    assert ended.get(timeout=10) == "stream"
    reply.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    reply.close()
    assert ended.get(timeout=10) == "reply"


def test_a_client_that_does_not_read_is_waited_for(serve: Serve) -> None:
    """What it has not read is not made either."""
    made = []

    async def handle(_: Request) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(200):
                made.append(number)
                yield b"x" * 65536

        return Reply(200, [], pieces())

    client = serve(handle)()
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    client.recv(1)
    assert len(made) < 100

    told = read(client, b"0\r\n\r\n")
    assert told.count(b"x") == 200 * 65536
    assert len(made) == 200


def test_a_mistake_ends_a_request_and_nothing_else(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(request: Request) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            raise KeyError(request.path)

        if request.path == "/stream":
            return Reply(200, [], pieces())
        if request.path == "/known":
            raise MlfuncError("the disk is full")
        raise KeyError(request.path)

    reach = serve(handle)
    client = reach()
    with caplog.at_level(logging.ERROR):
        client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"the supervisor has made a mistake; its log has it" in read(client, b"}")
        client.sendall(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"the disk is full" in read(client, b"}")
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        told = rest(client)

    assert not told.endswith(b"0\r\n\r\n"), "it is not whole, and does not look so"
    assert [each.message for each in caplog.records] == ["GET /a", "a reply broke off"]


def test_the_end_waits_for_nobody(tmp_path: Path) -> None:
    async def handle(_: Request) -> Reply:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await asyncio.Event().wait()

        return Reply(200, [], pieces())

    async def run() -> bytes:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(tmp_path / "s"))
        found = server.Server(handle)
        await found.listen(bound)
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        idle = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"one\r\n")
        await found.close()
        left = await reader.read() + await idle[0].read()
        for each in (writer, idle[1]):
            each.close()
            await each.wait_closed()
        return left

    assert asyncio.run(run()) == b""
