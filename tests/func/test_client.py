"""HTTP to a function: replies, streams, connections, and what can go wrong on the way."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import client
from mlfunc.client import Connection, Request, ServerSentEvent
from mlfunc.errors import FunctionFailed, NotFound, UsageError
from mlfunc.wire import Direct

if TYPE_CHECKING:
    from .conftest import Handler, Server


def test_a_request_arrives_as_it_was_and_its_reply_comes_back(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(201, b"[1]", content_type="Application/JSON; q=1")
    with Connection(f"{server.url}/deep?x=1", 5) as connection:
        reply = connection.send(Request("POST", {"x-tag": "ü"}, b"hello"))

    path, headers, body = server.requests[0]
    assert (path, headers["x-tag"], body) == ("/deep?x=1", "ü", b"hello")
    assert (reply.status, reply.body, reply.media_type) == (201, b"[1]", "application/json")
    assert reply.ok


def test_an_ingress_is_told_whom_a_request_is_for(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200)
    with Connection(server.url, 5, host="greeter.team.example.com") as connection:
        connection.send(Request())
        assert connection.url == f"greeter.team.example.com by {server.url}"

    assert server.requests[0][1]["host"] == "greeter.team.example.com"


def test_a_connection_is_kept_from_one_request_to_the_next(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200, b"ok")
    with Connection(server.url, 5) as connection:
        for _ in range(3):
            connection.send(Request(body=b"x"))

    assert len(server.connections) == 1


def test_a_stream_that_is_left_early_costs_its_connection_and_no_more(server: Server) -> None:
    server.answers["POST"] = lambda h: h.stream(b"data: 1\n\n", b"data: 2\n\n")
    with Connection(server.url, 5) as connection:
        for _ in range(2):
            with connection.open(Request(body=b"")) as stream:
                assert next(stream.events()) == ServerSentEvent("message", "1")

    assert len(server.connections) == 2


def test_nothing_that_listens_is_told_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(NotFound) as raised, Connection(url, 5) as connection:
            connection.send(Request())

    assert raised.value.message == f"nothing answers at {url}: connection refused"
    assert "mlfunc run" in raised.value.hint


def test_a_reply_that_takes_too_long_is_told_with_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NotFound, match=r"within 0\.1 s") as raised:
            Connection(url, 0.1).send(Request())

    assert "--timeout" in raised.value.hint


def test_a_reply_that_breaks_off_is_a_failure_of_the_function(server: Server) -> None:
    def break_off(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    server.answers["POST"] = break_off
    with Connection(server.url, 5) as connection, pytest.raises(FunctionFailed, match="broke off"):
        connection.send(Request())


def test_no_more_of_a_reply_in_time_is_told_with_the_option(server: Server) -> None:
    left = threading.Event()

    def stall(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10")
        handler.end_headers()
        left.wait(10)

    server.answers["POST"] = stall
    with pytest.raises(NotFound, match=r"within 0\.1 s") as raised:
        Connection(server.url, 0.1).send(Request())
    left.set()

    assert "--timeout" in raised.value.hint


def test_a_function_that_hangs_up_is_not_taken_for_one_that_does_not_run(server: Server) -> None:
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    server.answers["POST"] = hang_up
    with pytest.raises(FunctionFailed, match="ended the connection without a reply"):
        Connection(server.url, 5).send(Request())


def test_a_refusal_that_comes_before_the_whole_body_was_read_is_shown() -> None:
    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            connection.shutdown(socket.SHUT_RD)
            while_sending.wait(10)

    while_sending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        with Connection(f"http://127.0.0.1:{listener.getsockname()[1]}", 10) as connection:
            assert isinstance(connection._wire, Direct)
            http = connection._wire._http
            http.connect()
            assert http.sock is not None
            # What the system says when the other end reads no more.
            refusing = mock.Mock(wraps=http.sock, sendall=mock.Mock(side_effect=BrokenPipeError))
            refusing.makefile = http.sock.makefile
            http.sock.sendall(b"POST / HTTP/1.1\r\n")
            http.sock = refusing
            reply = connection.send(Request(body=b"x"))
        while_sending.set()
        thread.join()

    assert reply.status == 413


@pytest.mark.parametrize("url", ["http://[::1]/x", "http://[::1]:8080/x", "https://[::1]/x"])
def test_an_address_of_ipv6_is_not_taken_apart(url: str) -> None:
    http = Direct(url, 5)._http

    assert (http.host, http.port) == ("::1", urlsplit(url).port or http.default_port)


def test_a_name_and_password_in_the_url_are_sent_and_never_shown(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200)
    with Connection(server.url.replace("//", "//ada:p%40ss@"), 5) as connection:
        connection.send(Request())

    assert server.requests[0][1]["authorization"] == "Basic YWRhOnBAc3M="
    assert connection.url == server.url


def test_a_header_that_comes_twice_is_a_list(server: Server) -> None:
    def twice(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Server-Timing", "queue;dur=1")
        handler.send_header("server-timing", "gateway;dur=2")
        handler.send_header("content-length", "0")
        handler.end_headers()

    server.answers["POST"] = twice
    with Connection(server.url, 5) as connection:
        reply = connection.send(Request())

    assert client.server_timing(reply.headers) == {"queue": 1.0, "gateway": 2.0}


def test_a_server_without_encryption_is_not_told_as_one_that_does_not_run(server: Server) -> None:
    with pytest.raises(NotFound, match="no secure connection") as raised:
        Connection(server.url.replace("http:", "https:"), 5).send(Request())

    assert "http://" in raised.value.hint


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://x:port/", "http://x:0/", "http://[::1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Connection(url, 5)


@pytest.mark.parametrize("header", [{"x": "a\nb"}, {"x": "☃"}])
def test_a_header_that_http_cannot_carry_is_refused(header: dict[str, str], server: Server) -> None:
    with Connection(server.url, 5) as connection, pytest.raises(UsageError):
        connection.send(Request(headers=header))

    assert not server.requests


STREAM = (
    "event: a\r\ndata: ü\rdata:2\n\n: note\ndata:  x\n\nid: 1\n\ndata\n\n"
    "event: end\ndata: {}\n\ndata: cut"
)
EVENTS = [
    ServerSentEvent("a", "ü\n2"),
    ServerSentEvent("message", " x"),
    ServerSentEvent("message", ""),
    ServerSentEvent("end", "{}"),
]


@given(st.lists(st.integers(1, 20), max_size=40))
def test_events_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    chunks, rest = [], STREAM.encode()
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]

    assert list(client.server_sent_events([*chunks, rest])) == EVENTS


def test_an_event_is_handed_on_when_its_last_line_ends_whatever_ends_it() -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        chunks = iter([b"data: 1" + end + end, b"data: 2" + end + end])

        assert next(client.server_sent_events(chunks)).data == "1"
        assert next(chunks, None) is not None


def test_a_mark_of_byte_order_is_no_part_of_the_first_event() -> None:
    assert [e.data for e in client.server_sent_events(["\ufeffdata: 1\n\n".encode()])] == ["1"]


def test_a_very_long_event_is_read_in_the_time_of_its_length() -> None:
    began = time.monotonic()
    chunks = itertools.chain([b"data: "], itertools.repeat(b"x" * 65536, 800), [b"\n\n"])
    (event,) = client.server_sent_events(chunks)

    assert len(event.data) == 800 * 65536
    assert time.monotonic() - began < 5


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_can_be_read_as_events(chunks: list[bytes]) -> None:
    for event in client.server_sent_events(chunks):
        assert isinstance(event, ServerSentEvent)


def test_server_timing_is_read_by_phase() -> None:
    timing = {"server-timing": 'queue;dur=0.1, predict;desc="x";dur=8.25, bad;dur=x, plain'}

    assert client.server_timing(timing) == {"queue": 0.1, "predict": 8.25, "bad": 0.0, "plain": 0.0}
    assert client.server_timing({}) == {}
