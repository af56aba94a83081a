"""Requests through a gateway, to instances that say what they were sent, and to its own pages."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.supervisor.http.messages import Reply, Request, json_reply

from tests.func.supervisor.gateway.instances import echo, read_head, scripted
from tests.func.supervisor.gateway.rig import (
    CLOSE,
    ECHO,
    SERVICE,
    Running,
    request,
    running,
    serve_echo,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mlfunc.supervisor.gateway.gateway import Gateway

    from tests.func.supervisor.gateway.instances import Instance


@pytest.fixture
def gate() -> Iterator[Running]:
    with running() as here:
        here.call(serve_echo)
        yield here


@pytest.fixture
def instance(gate: Running) -> Iterator[Instance]:
    with echo() as there:
        gate.call(lambda g: g.join(ECHO, "a", there.port))
        yield there


def body(received: bytes) -> Any:
    return json.loads(received.partition(b"\r\n\r\n")[2])


def read_reply(near: socket.socket) -> bytes:
    """One with a Content-Length."""
    received = read_head(near)
    head, _, rest = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(rest) < length:
        rest += near.recv(65536)
    return head + b"\r\n\r\n" + rest


# To functions.


def test_a_request_gets_to_the_instance_by_host(gate: Running, instance: Instance) -> None:
    told = body(
        gate.talk(request(CLOSE, "Content-Length: 3", line="POST /x?y=1 HTTP/1.1") + b"abc")
    )
    assert told["line"] == "POST /x?y=1 HTTP/1.1"
    assert told["body"] == "abc"
    assert told["headers"]["host"] == "echo.default.localhost"


def test_a_request_gets_there_by_the_first_segment_of_its_path(
    gate: Running, instance: Instance
) -> None:
    told = body(gate.talk(request(CLOSE, line="GET /echo/x?y=1 HTTP/1.1", host="127.0.0.1")))
    assert told["line"] == "GET /x?y=1 HTTP/1.1"
    assert told["headers"]["host"] == f"echo.default.localhost:{gate.port}"
    assert told["headers"]["x-forwarded-host"] == "127.0.0.1"
    assert told["headers"]["x-forwarded-prefix"] == "/echo"


def test_a_browser_is_sent_to_where_relative_addresses_hold(
    gate: Running, instance: Instance
) -> None:
    asked = request(CLOSE, "Accept: text/html", line="GET /echo?a=b HTTP/1.1", host="127.0.0.1")
    received = gate.talk(asked)
    assert statuses(received) == [308]
    assert b"location: /echo/?a=b" in received
    assert statuses(gate.talk(request(CLOSE, line="GET /echo HTTP/1.1", host="127.0.0.1"))) == [200]


def test_a_request_waits_until_there_is_an_instance(gate: Running) -> None:
    woken = threading.Event()
    gate.call(lambda g: g.wake(lambda key: woken.set()))
    with echo() as instance, gate.connect() as near:
        near.sendall(request(CLOSE))
        assert woken.wait(20)
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        assert statuses(b"".join(iter(lambda: near.recv(65536), b""))) == [200]


def test_what_belongs_to_the_connection_goes_no_further(gate: Running, instance: Instance) -> None:
    own = [
        "Connection: close, X-Mine",
        "X-Mine: a",
        "Keep-Alive: timeout=1",
        "TE: trailers",
        "Trailer: X",
        "Proxy-Connection: keep-alive",
        "X-Other: b",
    ]
    headers = body(gate.talk(request(*own)))["headers"]
    assert headers["x-other"] == "b"
    assert not {"connection", "x-mine", "keep-alive", "te", "trailer", "proxy-connection"} & set(
        headers
    )


def test_the_instance_is_told_who_asks(gate: Running, instance: Instance) -> None:
    headers = body(gate.talk(request(CLOSE)))["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["forwarded"] == "for=127.0.0.1;proto=http"
    assert len(headers["x-request-id"]) == 32
    came = ["X-Forwarded-For: 10.0.0.1", "X-Request-Id: mine", "Forwarded: for=10.0.0.1"]
    headers = body(gate.talk(request(CLOSE, *came)))["headers"]
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert headers["x-request-id"] == "mine"
    assert headers["forwarded"] == "for=10.0.0.1"


def test_requests_that_come_at_once_are_answered_in_their_order(
    gate: Running, instance: Instance
) -> None:
    count = 200
    sent = b"".join(request(line=f"GET /{n} HTTP/1.1") for n in range(count))
    with gate.connect() as near:
        near.sendall(sent + request(CLOSE, line="GET /last HTTP/1.1"))
        received = b"".join(iter(lambda: near.recv(65536), b""))
    assert statuses(received) == [200] * (count + 1)
    assert [line.split()[1] for line, *_ in instance.requests] == [
        *(f"/{n}" for n in range(count)),
        "/last",
    ]


def test_connections_are_kept_on_both_sides(gate: Running) -> None:
    def twice(near: socket.socket) -> None:
        for _ in range(2):
            read_head(near)
            near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with scripted(twice) as instance, gate.connect() as near:
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        for _ in range(2):
            near.sendall(request())
            assert statuses(read_reply(near)) == [200]


def test_nobody_waits_for_acknowledgements(gate: Running) -> None:
    """TCP_NODELAY: a stream's pieces would wait 40 ms each for those before."""

    def look(near: socket.socket) -> None:
        read_head(near)
        near.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        near.recv(1)

    async def options(g: Gateway) -> list[int]:
        (connection,) = g._connections._open
        (idle,) = g._revisions[ECHO]._places["a"]._idle
        return [
            each.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for each in (connection.transport, idle._transport)
        ]

    with scripted(look) as instance, gate.connect() as near:
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        near.sendall(request())
        read_head(near)
        assert gate.wait(options(gate.gateway)) == [1, 1]
        gate.call(lambda g: g.leave(ECHO, "a"))


# What the gateway says itself.


def test_who_asks_for_a_function_that_is_not_there_is_told_what_is(gate: Running) -> None:
    received = gate.talk(request(CLOSE, "X-Request-Id: mine", host="ecoh.default.localhost"))
    assert statuses(received) == [404]
    assert b"content-type: application/problem+json" in received
    assert b"x-request-id: mine" in received
    told = body(received)
    assert told["detail"] == "nothing is called ecoh: did you mean echo?"
    assert told["status"] == 404
    assert told["request_id"] == "mine"


def test_a_refused_request_leaves_the_connection_to_the_next(
    gate: Running, instance: Instance
) -> None:
    with gate.connect() as near:
        near.sendall(
            request(line="GET /x HTTP/1.1", host="nobody.default.localhost") * 50 + request()
        )
        found: list[int] = []
        while len(found) < 51:
            found += statuses(near.recv(1_000_000))
        assert found == [404] * 50 + [200]


def test_a_websocket_is_refused_in_words(gate: Running, instance: Instance) -> None:
    received = gate.talk(request("Connection: upgrade, close", "Upgrade: websocket"))
    assert statuses(received) == [501]
    assert b"websockets" in received


async def page(asked: Request) -> Reply:
    """Says what it was asked."""
    told = {
        "path": asked.path,
        "query": asked.query,
        "body": asked.body.decode(),
        "type": asked.header("content-type"),
    }
    return json_reply(200, told)


def test_a_page_of_its_own_is_answered_by_the_longest_prefix(gate: Running) -> None:
    async def other(asked: Request) -> Reply:
        return Reply(200, [], b"other")

    gate.own({"/": page, "/-/": page, "/-/other": other})
    sent = request(
        CLOSE,
        "Content-Length: 3",
        "Content-Type: a/b",
        line="POST /-/x?a=b HTTP/1.1",
        host="localhost:1",
    )
    assert body(gate.talk(sent + b"abc")) == {
        "path": "/-/x",
        "query": {"a": "b"},
        "body": "abc",
        "type": "a/b",
    }
    assert body(gate.talk(request(CLOSE, host="127.0.0.1")))["path"] == "/"
    assert gate.talk(request(CLOSE, line="GET /-/other/y HTTP/1.1", host="[::1]")).endswith(
        b"other"
    )
    assert statuses(gate.talk(request(CLOSE, line="GET /x HTTP/1.1", host="localhost"))) == [404]


def test_a_function_has_all_of_its_own_paths(gate: Running, instance: Instance) -> None:
    gate.own({"/": page, "/-/": page})
    assert body(gate.talk(request(CLOSE, line="GET /-/x HTTP/1.1")))["line"] == "GET /-/x HTTP/1.1"
    assert body(gate.talk(request(CLOSE, line="GET / HTTP/1.1")))["line"] == "GET / HTTP/1.1"


def test_a_web_site_that_points_its_name_here_sees_no_page(gate: Running) -> None:
    gate.own({"/": page, "/-/": page})
    for line in ("GET / HTTP/1.1", "GET /-/x HTTP/1.1"):
        assert statuses(gate.talk(request(CLOSE, line=line, host="evil.example"))) == [403]


def test_another_web_site_changes_nothing(gate: Running) -> None:
    gate.own({"/-/": page})
    there = f"127.0.0.1:{gate.port}"
    posted = ["Content-Length: 0", CLOSE]
    line = "POST /-/x HTTP/1.1"
    assert statuses(
        gate.talk(request(*posted, "Origin: http://evil.example", line=line, host=there))
    ) == [403]
    assert statuses(
        gate.talk(request(*posted, f"Origin: http://{there}", line=line, host=there))
    ) == [200]
    assert statuses(gate.talk(request(*posted, line=line, host=there))) == [200]


def test_a_web_site_reaches_no_function_of_a_machine_that_keeps_to_itself(
    gate: Running, instance: Instance
) -> None:
    here = f"127.0.0.1:{gate.port}"

    def asked(*fields: str, host: str = here) -> list[int]:
        sent = request(*fields, "Content-Length: 0", CLOSE, line="POST /echo HTTP/1.1", host=host)
        return statuses(gate.talk(sent))

    assert asked(host=f"evil.example:{gate.port}") == [403]  # which it has pointed here
    for origin in ("http://evil.example", "null", "http://192.0.2.1", "http://evil.localhost.com"):
        assert asked(f"Origin: {origin}") == [403]
    for origin in (f"http://{here}", "http://localhost:3000", "http://[::1]:80"):
        assert asked(f"Origin: {origin}") == [200]
    assert asked() == [200]


def test_a_gateway_for_others_serves_them_by_any_name(gate: Running, instance: Instance) -> None:
    gate.call(lambda gateway: setattr(gateway, "_is_private", False))
    sent = request(
        "Origin: http://shop.example", CLOSE, line="GET /echo HTTP/1.1", host="box.example"
    )
    assert statuses(gate.talk(sent)) == [200]


def test_a_page_may_go_on_and_ends_when_the_client_leaves(gate: Running) -> None:
    left = threading.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)
        finally:
            left.set()

    async def endless(asked: Request) -> Reply:
        return Reply(200, [("content-type", "text/event-stream")], pieces())

    gate.own({"/-/": endless})
    with gate.connect() as near:
        near.sendall(request(line="GET /-/x HTTP/1.1", host="localhost"))
        assert b"transfer-encoding: chunked" in read_head(near)
        near.recv(1000)
    assert left.wait(20)


def test_a_page_with_a_flaw_is_a_500_and_the_next_is_answered(
    gate: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def flawed(asked: Request) -> Reply:
        raise ValueError("a flaw")

    gate.own({"/-/flawed": flawed, "/-/": page})
    with gate.connect() as near:
        near.sendall(request(line="GET /-/flawed HTTP/1.1", host="localhost"))
        assert statuses(read_reply(near)) == [500]
        near.sendall(request(line="GET /-/x HTTP/1.1", host="localhost"))
        assert statuses(read_reply(near)) == [200]
    assert "a flaw" in caplog.text


def test_a_body_for_a_page_is_bounded(gate: Running) -> None:
    gate.own({"/-/": page})
    line = "POST /-/x HTTP/1.1"
    assert statuses(
        gate.talk(request("Content-Length: 99999999", line=line, host="localhost"))
    ) == [413]
    chunk = b"%x\r\n%b\r\n" % (2**20, bytes(2**20))
    with gate.connect() as near:
        near.sendall(
            request("Transfer-Encoding: chunked", line=line, host="localhost") + chunk * 17
        )
        assert statuses(near.recv(65536)) == [413]


# From within.


def test_a_request_from_within_is_one_like_any(gate: Running, instance: Instance) -> None:
    asked = Request("POST", "/x?y=1", [("Content-Type", "a/b"), ("ce-id", "1")], b"abc")
    reply = gate.wait(gate.gateway.send(SERVICE, asked, 20))
    assert reply.status == 200
    assert ("content-type", "application/json") in reply.headers
    assert isinstance(reply.body, bytes)
    told = json.loads(reply.body)
    assert told["line"] == "POST /x?y=1 HTTP/1.1"
    assert told["body"] == "abc"
    assert told["headers"]["ce-id"] == "1"
    assert told["headers"]["host"] == f"echo.default.localhost:{gate.port}"
    assert gate.call(lambda g: g.load(ECHO)).requests == 1


# Its life.


def test_the_end_answers_what_is_under_way_and_takes_no_more(gate: Running) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(near: socket.socket) -> None:
        read_head(near)
        asked.set()
        go_on.wait(20)
        near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with (
        scripted(slow) as instance,
        gate.connect() as idle,
        gate.connect() as near,
        gate.connect() as waits,
    ):
        gate.call(lambda g: serve_echo(g, concurrency=1))
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        near.sendall(request())
        assert asked.wait(20)
        waits.sendall(request())
        while not gate.call(lambda g: g.load(ECHO).waiting):
            pass
        ending = asyncio.run_coroutine_threadsafe(gate.gateway.close(20), gate.loop)
        assert idle.recv(1) == b""
        assert statuses(read_reply(waits)) == [503]
        with pytest.raises(ConnectionError):
            gate.connect()
        go_on.set()
        received = b"".join(iter(lambda: near.recv(65536), b""))
        assert received.endswith(b"connection: close\r\n\r\nok")
        ending.result(20)


def sweep(gate: Running, seconds: float) -> None:
    """As if that much time had passed."""
    gate.call(lambda g: g._connections.sweep(gate.loop.time() + seconds))
    gate.call(lambda g: g._revisions[ECHO].sweep(gate.loop.time() + seconds))


def test_a_connection_that_is_idle_for_long_is_closed(gate: Running, instance: Instance) -> None:
    with gate.connect() as near:
        near.sendall(request())
        read_reply(near)
        sweep(gate, 60)
        near.sendall(request())
        assert statuses(read_reply(near)) == [200]
        sweep(gate, 130)
        assert near.recv(1) == b""
    assert gate.call(lambda g: g._revisions[ECHO]._places["a"]._idle) == []


@pytest.mark.parametrize("end", [20, -1])
def test_a_request_that_does_not_get_on_is_refused(
    gate: Running, instance: Instance, end: int
) -> None:
    with gate.connect() as near:
        near.sendall((request("Content-Length: 3", line="POST / HTTP/1.1") + b"abc")[:end])
        while not gate.call(
            lambda g: [each for each in g._connections._open if each._parser.partial]
        ):
            pass
        sweep(gate, 10)
        sweep(gate, 40)
        assert statuses(b"".join(iter(lambda: near.recv(65536), b""))) == [408]
    assert instance.requests == []


def test_a_request_that_waits_for_an_instance_is_not_slow(gate: Running) -> None:
    with gate.connect() as near, echo() as instance:
        near.sendall(request())
        while not gate.call(lambda g: g.load(ECHO).waiting):
            pass
        sweep(gate, 1000)
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        assert statuses(read_reply(near)) == [200]


def test_when_files_run_out_clients_wait_and_nobody_is_lost(
    gate: Running, instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    near, late = gate.connect(), socket.socket()
    files: list[int] = []
    try:
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
        with pytest.raises(OSError, match="open files"):
            take_all(files)
        near.sendall(request(CLOSE))  # it waits: there is no file for a connection to the instance
        late.connect(("127.0.0.1", gate.port))  # nor to accept one
        late.sendall(request(CLOSE))
        while "new connections wait" not in caplog.text:
            pass
        for each in files[-8:]:  # the instance needs some, too
            os.close(each)
            files.remove(each)
        late.settimeout(20)
        assert caplog.text.count("new connections wait") == 1
        for client in (near, late):
            assert statuses(b"".join(iter(lambda: client.recv(65536), b""))) == [200]  # noqa: B023
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in files:
            os.close(each)
        near.close()
        late.close()


def take_all(files: list[int]) -> None:
    """Open files until there are no more."""
    while True:
        files.append(os.open(os.devnull, os.O_RDONLY))
