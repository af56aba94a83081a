"""A request and an instance that answers, or does not: what is asked again, and what never."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from tests.func.supervisor.gateway.instances import echo, read_head, scripted
from tests.func.supervisor.gateway.rig import (
    CLOSE,
    ECHO,
    Running,
    is_idle,
    request,
    running,
    serve_echo,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = request("Content-Length: 3", line="POST / HTTP/1.1") + b"abc"
GET = request()


@pytest.fixture
def gate() -> Iterator[Running]:
    with running() as here:
        here.call(serve_echo)
        yield here


def join(gate: Running, name: str, port: int) -> None:
    gate.call(lambda g: g.join(ECHO, name, port))


def reply(near: socket.socket, until: bytes = b"ok") -> bytes:
    """Up to these bytes, or the end."""
    received = b""
    while not received.endswith(until) and (piece := near.recv(65536)):
        received += piece
    return received


def answer(near: socket.socket) -> None:
    """A small request, and its reply."""
    read_head(near)
    near.sendall(OK)


def unchunked(body: bytes) -> bytes:
    """Whatever the chunks are."""
    return re.sub(rb"(^|\r\n)[0-9a-f]+\r\n", b"", body).replace(b"\r\n", b"")


def reset(near: socket.socket) -> None:
    """Ends the connection so that what has not been read is told."""
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()


# What is asked again.


def test_a_connection_that_cannot_be_opened_is_one_to_another_instance(gate: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with echo() as instance:
        join(gate, "gone", port)
        join(gate, "here", instance.port)
        assert statuses(
            gate.talk(request(CLOSE, "Content-Length: 3", line="POST / HTTP/1.1") + b"abc")
        ) == [200]
        assert [body for *_, body in instance.requests] == [b"abc"]


def test_a_request_waits_while_the_only_instance_cannot_be_reached(gate: Running) -> None:
    with socket.socket() as bound, gate.connect() as near:
        bound.bind(("127.0.0.1", 0))  # nobody listens yet
        join(gate, "a", bound.getsockname()[1])
        near.sendall(GET)
        bound.listen()
        far, _ = bound.accept()
        with far:
            answer(far)
            assert statuses(reply(near)) == [200]


@pytest.mark.parametrize("sent", [GET, POST])
def test_a_kept_connection_that_is_reset_before_a_byte_is_another_one(
    gate: Running, sent: bytes
) -> None:
    seen = threading.Event()

    def kept(near: socket.socket) -> None:
        answer(near)
        seen.wait(20)
        reset(near)

    with scripted(kept, answer) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(sent)
        assert statuses(reply(near)) == [200]
        near.sendall(sent)
        seen.set()
        assert statuses(reply(near)) == [200]


def test_a_kept_connection_that_has_ended_is_not_used(gate: Running) -> None:
    with scripted(answer, answer) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        for _ in range(2):
            near.sendall(POST)
            assert statuses(reply(near)) == [200]


# What is not.


def test_what_an_instance_has_read_when_it_ends_is_not_asked_again(gate: Running) -> None:
    def kept(near: socket.socket) -> None:
        answer(near)
        read_head(near)

    with scripted(kept) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(POST)
        assert statuses(reply(near)) == [200]
        near.sendall(POST)
        assert statuses(reply(near, b"}")) == [502]


def reset_midway(near: socket.socket) -> None:
    """It has read some, and not all."""
    near.recv(1)
    reset(near)


@pytest.mark.parametrize("end", [reset_midway, read_head])
@pytest.mark.parametrize("sent", [GET, POST])
def test_nothing_is_asked_again_that_was_sent_on_a_new_connection(
    gate: Running, end: object, sent: bytes
) -> None:
    with scripted(end) as instance, gate.connect() as near:  # type: ignore[arg-type]
        join(gate, "a", instance.port)
        near.sendall(sent)
        assert statuses(reply(near, b"}")) == [502]


def test_what_was_answered_in_part_is_cut(gate: Running) -> None:
    def half(near: socket.socket) -> None:
        read_head(near)
        near.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")

    with scripted(half) as instance:
        join(gate, "a", instance.port)
        received = gate.talk(GET)
    assert received.endswith(b"2\r\nok\r\n")
    assert statuses(received) == [200]


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_no_reply_is_a_bad_gateway(gate: Running, garbage: bytes) -> None:
    def speak(near: socket.socket) -> None:
        read_head(near)
        near.sendall(garbage)
        near.recv(1)

    with scripted(speak) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(GET)
        assert statuses(reply(near, b"}")) == [502]


# Replies.

REPLIES = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"content-length: 2", b"ok"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"transfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
    "chunks with trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: a\r\n\r\n", b"transfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
    "the end of the connection": (b"HTTP/1.1 200 OK\r\n\r\nok", b"transfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"connection: keep-alive", b""),
    "not modified": (b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', b'ETag: "a"', b""),
    "a status of its own": (b"HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n", b"299 Mine", b""),
    "an interim one before": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"content-length: 2", b"ok"),
    "fields of the connection": (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nX-A: b\r\nContent-Length: 0\r\n\r\n", b"X-A: b", b""),
    "a field twice": (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", b"Set-Cookie: a=1\r\nSet-Cookie: b=2", b""),
}  # fmt: skip


@pytest.mark.parametrize("cut", [0, 1, 9, 20, 40, 60])
@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_passed_on(gate: Running, name: str, cut: int) -> None:
    given, head, body = REPLIES[name]

    def speak(near: socket.socket) -> None:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        read_head(near)
        near.sendall(given[:cut])
        near.sendall(given[cut:])

    with scripted(speak) as instance:
        join(gate, "a", instance.port)
        with gate.connect() as near:
            near.sendall(GET)
            received = reply(near, body[-5:] or b"\r\n\r\n")
    found, _, rest = received.partition(b"\r\n\r\n")
    assert head in found
    assert unchunked(rest) == unchunked(body)
    assert b"Keep-Alive" not in found


def test_a_client_of_http_1_0_gets_no_chunks(gate: Running) -> None:
    def speak(near: socket.socket) -> None:
        read_head(near)
        near.sendall(REPLIES["chunks"][0])

    with scripted(speak) as instance:
        join(gate, "a", instance.port)
        received = gate.talk(request("Connection: keep-alive", line="GET / HTTP/1.0"))
    assert received.endswith(b"connection: close\r\n\r\nok")


def test_the_reply_to_head_has_a_length_and_no_body(gate: Running) -> None:
    def speak(near: socket.socket) -> None:
        for _ in range(2):
            read_head(near)
            near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")

    with scripted(speak) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        for _ in range(2):  # on the same connection to the instance
            near.sendall(request(line="HEAD / HTTP/1.1"))
            received = reply(near, b"\r\n\r\n")
            assert b"content-length: 2" in received


def test_an_answer_before_the_body_is_whole_ends_the_connection(gate: Running) -> None:
    def refuse(near: socket.socket) -> None:
        read_head(near)
        near.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nok")
        while near.recv(65536):
            pass

    with scripted(refuse) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(request("Content-Length: 1000000", line="POST / HTTP/1.1") + b"abc")
        received = reply(near)
        assert statuses(received) == [413]
        assert b"connection: close" in received
        assert near.recv(1) == b""


# Bodies.


def test_a_client_that_expects_it_is_told_to_go_on(gate: Running) -> None:
    with echo() as instance, gate.connect() as near:
        near.sendall(request("Content-Length: 3", "Expect: 100-continue", line="POST / HTTP/1.1"))
        assert read_head(near) == b"HTTP/1.1 100 Continue\r\n\r\n"
        near.sendall(b"abc")
        join(gate, "a", instance.port)
        assert statuses(reply(near, b"}")) == [200]


def test_a_large_body_is_wanted_once_there_is_an_instance(gate: Running) -> None:
    with echo() as instance, gate.connect() as near:
        near.sendall(
            request("Content-Length: 100000", "Expect: 100-continue", line="POST / HTTP/1.1")
        )
        near.settimeout(0.1)
        with pytest.raises(TimeoutError):
            near.recv(1)
        near.settimeout(20)
        join(gate, "a", instance.port)
        assert read_head(near) == b"HTTP/1.1 100 Continue\r\n\r\n"
        near.sendall(b"a" * 100000)
        assert b'"size": 100000' in reply(near, b"}")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_goes_on_no_faster_than_it_is_read(gate: Running, chunked: bool) -> None:
    go_on = threading.Event()
    total = 64 * 2**20
    read = []

    def slow(near: socket.socket) -> None:
        received = len(read_head(near).partition(b"\r\n\r\n")[2])
        go_on.wait(20)
        while received < total and (piece := near.recv(2**20)):
            received += len(piece)
        near.sendall(OK)
        while chunked and (piece := near.recv(2**20)):
            pass
        read.append(received)

    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}"
    with scripted(slow) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(request(framing, line="POST / HTTP/1.1"))
        near.settimeout(0.3)
        piece = b"%x\r\n%b\r\n" % (2**20, bytes(2**20)) if chunked else bytes(2**20)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < total:
                sent += near.send(piece[sent % len(piece) :])
        assert sent < total / 2  # kernels hold some megabytes
        near.settimeout(20)
        go_on.set()
        goal = total // 2**20 * len(piece)
        while sent < goal:
            sent += near.send(piece[sent % len(piece) :])
        assert statuses(reply(near)) == [200]
        near.close()


def test_a_large_reply_comes_no_faster_than_it_is_read(gate: Running) -> None:
    total = 64 * 2**20
    sent = []
    stuck = threading.Event()

    def large(near: socket.socket) -> None:
        read_head(near)
        near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        near.settimeout(0.3)
        count = 0
        while count < total:
            try:
                count += near.send(bytes(min(2**20, total - count)))
            except TimeoutError:
                sent.append(count)
                stuck.set()
                near.settimeout(20)

    with scripted(large) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(GET)
        assert stuck.wait(20)
        assert sent[0] < total / 2
        body = read_head(near).partition(b"\r\n\r\n")
        size = len(body[2])
        while size < total:
            size += len(near.recv(2**20))
        assert size == total
        assert gate.call(is_idle)


# Time.


def test_a_reply_that_does_not_begin_in_time_is_a_504_and_the_instance_is_told(
    gate: Running,
) -> None:
    told = threading.Event()

    def silent(near: socket.socket) -> None:
        read_head(near)
        if near.recv(1) == b"":
            told.set()

    gate.call(lambda g: serve_echo(g, timeout=0.2))
    with scripted(silent) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(GET)
        received = reply(near, b"}")
        assert statuses(received) == [504]
        assert b"its timeout" in received
        assert told.wait(20)
        assert gate.call(is_idle)


def test_a_reply_that_has_begun_may_take_longer(gate: Running) -> None:
    late = threading.Event()

    def slow(near: socket.socket) -> None:
        read_head(near)
        near.sendall(OK[:-1])
        late.wait(0.5)
        near.sendall(OK[-1:])

    gate.call(lambda g: serve_echo(g, timeout=0.2))
    with scripted(slow) as instance, gate.connect() as near:
        join(gate, "a", instance.port)
        near.sendall(GET)
        assert reply(near).endswith(b"ok")


def test_a_client_that_leaves_ends_what_was_asked_for_it(gate: Running) -> None:
    told, asked = threading.Event(), threading.Event()

    def silent(near: socket.socket) -> None:
        read_head(near)
        asked.set()
        if near.recv(1) == b"":
            told.set()

    with scripted(silent) as instance:
        join(gate, "a", instance.port)
        with gate.connect() as near:
            near.sendall(GET)
            assert asked.wait(20)
        assert told.wait(20)
    (stats,) = gate.call(lambda g: g.stats())
    assert stats.statuses == {499: 1}
    assert stats.in_flight == 0
