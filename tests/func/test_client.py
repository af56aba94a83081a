"""HTTP to a function: replies, streams, connections, and what can go wrong on the way."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import client
from mlfunc.client import Connection, Request, ServerSentEvent
from mlfunc.errors import FunctionFailed, NotFound, UsageError

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


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://x:port/"])
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


@given(st.lists(st.binary(max_size=20)))
def test_any_bytes_can_be_read_as_events(chunks: list[bytes]) -> None:
    for event in client.server_sent_events(chunks):
        assert isinstance(event, ServerSentEvent)


def test_server_timing_is_read_by_phase() -> None:
    timing = {"server-timing": 'queue;dur=0.1, predict;desc="x";dur=8.25, bad;dur=x, plain'}

    assert client.server_timing(timing) == {"queue": 0.1, "predict": 8.25, "bad": 0.0, "plain": 0.0}
    assert client.server_timing({}) == {}
