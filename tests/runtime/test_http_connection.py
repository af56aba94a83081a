"""A connection's life: order, patience, departures, streams, drain. Real sockets, routes that tell."""

from __future__ import annotations

import json
import re
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event
from mlfunc_runtime.http.connections import Connections, Limits
from mlfunc_runtime.http.parser import Parser
from mlfunc_runtime.messages import Gone, Reply, Request, StreamBody
from mlfunc_runtime.patching import hub

from .corpus import chunked, head
from .wire import LIMITS, Echo, connect, opened, statuses, talk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


GET = head(line="GET /a HTTP/1.1")
LONG = 10


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    with gevent.Timeout(seconds):
        while not condition():
            gevent.sleep(0.005)


def rest(near: Any) -> bytes:
    near.settimeout(LONG)
    return b"".join(iter(lambda: near.recv(65536), b""))


class Held(Echo):
    """Answers when it is told to; knows whether it was ended before."""

    def __init__(self) -> None:
        super().__init__(self._held)
        self.go = Event()
        self.ended: list[BaseException] = []

    def _held(self, request: Request) -> Reply:
        try:
            self.go.wait()
        except BaseException as error:
            self.ended.append(error)
            raise
        return Reply(b"done")


class Source(Request):
    """The request behind a stream."""

    __slots__ = ("closed", "taken")

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.taken = 0

    def close_streams(self) -> None:
        self.closed = True


def streaming(pieces: Iterator[bytes], source: Source) -> Echo:
    def counted() -> Iterator[bytes]:
        for piece in pieces:
            source.taken += 1
            yield piece

    return Echo(lambda _: Reply(StreamBody(counted(), source)))


def test_pipelined_requests_are_answered_in_order_even_if_the_first_takes_longest() -> None:
    def answer(request: Request) -> Reply:
        gevent.sleep(0.05 if request.path == "/a" else 0)
        return Reply(request.path.encode())

    received = talk(
        Echo(answer), [GET + head(line="GET /b HTTP/1.1"), head(line="GET /c HTTP/1.1")]
    )
    assert re.findall(rb"\r\n\r\n(/.)", received) == [b"/a", b"/b", b"/c"]


def test_a_body_is_asked_for_only_after_the_reply_before_it() -> None:
    routes = Held()
    near, _ = connect(routes)
    near.sendall(GET + head("Content-Length: 3", "Expect: 100-continue"))
    until(lambda: routes.requests)
    routes.go.set()
    received = b""
    while b"100 Continue" not in received:
        received += near.recv(65536)
    near.sendall(b"abc")
    near.shutdown(socket.SHUT_WR)
    received += rest(near)
    assert received.index(b"200 OK") < received.index(b"100 Continue")
    assert [len(r.body) for r in routes.requests] == [0, 3]


def test_a_body_that_is_too_large_is_never_asked_for() -> None:
    received = talk(Echo(), [head("Content-Length: 2000000", "Expect: 100-continue")])
    assert b"100 Continue" not in received
    assert statuses(received) == [413]


@pytest.mark.parametrize(
    "begun",
    [
        b"POST / HT",
        head("Content-Length: 5") + b"a",
        chunked(b"5\r\nab"),
        head("Content-Length: 5"),
    ],
)
def test_a_client_that_does_not_go_on_gets_408_and_is_closed(begun: bytes) -> None:
    near, server = connect(Echo(), Connections(LIMITS._replace(slow=0.1)))
    near.sendall(begun)
    received = rest(near)
    assert statuses(received) == [408]
    assert b"Connection: close" in received
    near.close()
    server.get(timeout=LONG)


def test_a_client_that_trickles_gets_408() -> None:
    near, _ = connect(Echo(), Connections(LIMITS._replace(slow=0.1)))
    near.sendall(head("Content-Length: 100000"))
    received = gevent.spawn(near.recv, 65536)
    while not received.ready():
        near.sendall(b"a")
        gevent.sleep(0.01)
    assert statuses(received.get()) == [408]


def test_a_slow_body_that_goes_on_is_read() -> None:
    near, _ = connect(Echo(), Connections(LIMITS._replace(slow=0.1, rate=1000)))
    near.sendall(head("Content-Length: 40000"))
    for _ in range(40):
        gevent.sleep(0.01)
        near.sendall(b"a" * 1000)
    near.shutdown(socket.SHUT_WR)
    assert statuses(rest(near)) == [200]


def test_an_idle_connection_is_closed_and_one_that_is_used_is_not() -> None:
    connections = Connections(LIMITS._replace(idle=0.3))
    idle, _ = connect(Echo(), connections)
    used, _ = connect(Echo(), connections)
    with gevent.Timeout(LONG):
        while idle not in _ended(idle):
            used.sendall(GET)
            assert b"200 OK" in used.recv(65536)
            gevent.sleep(0.02)
    assert len(connections) == 1
    assert rest(used) == b""
    assert len(connections) == 0


def _ended(near: Any) -> list[Any]:
    """Whether the server has closed it."""
    near.setblocking(False)
    try:
        return [near] if near.recv(1) == b"" else []
    except BlockingIOError:
        return []


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_ends_what_waits_for_it(reset: bool) -> None:
    routes = Held()
    near, server = connect(routes, tcp=True)
    near.sendall(GET)
    until(lambda: routes.requests)
    if reset:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    server.get(timeout=LONG)
    assert [type(error) for error in routes.ended] == [Gone]
    assert routes.requests[0].cancelled
    assert routes.statuses == [499]


def test_what_a_slot_has_begun_goes_on_when_its_client_leaves() -> None:
    routes = Held()
    near, server = connect(routes, tcp=True)
    near.sendall(GET)
    until(lambda: routes.requests)
    routes.requests[0].begun = True
    near.close()
    until(lambda: routes.requests[0].cancelled)
    assert not server.ready()
    routes.go.set()
    server.get(timeout=LONG)
    assert (routes.ended, routes.statuses) == ([], [499])


def test_a_reply_that_its_client_got_counts_with_its_own_status() -> None:
    def too_late(request: Request) -> Reply:
        request.cancelled = True
        return Reply(b"late", status=504)

    routes = Echo(too_late)
    near, server = connect(routes)
    near.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert rest(near).startswith(b"HTTP/1.1 504 ")
    server.get(timeout=LONG)
    assert routes.statuses == [504]


def test_a_client_that_only_half_closes_gets_its_answer() -> None:
    routes = Held()
    near, server = connect(routes, tcp=True)
    near.sendall(GET)
    near.shutdown(socket.SHUT_WR)
    gevent.sleep(0.3)  # it is probed meanwhile
    routes.go.set()
    received = rest(near)
    server.get(timeout=LONG)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert received.endswith(b"done")
    assert (routes.ended, routes.statuses) == ([], [200])


def test_a_client_of_http_1_0_is_not_probed() -> None:
    routes = Held()
    near, _ = connect(routes, tcp=True)
    near.sendall(b"GET / HTTP/1.0\r\n\r\n")
    near.shutdown(socket.SHUT_WR)
    gevent.sleep(0.1)
    routes.go.set()
    assert rest(near).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_next_client_is_served_after_one_has_left() -> None:
    routes = Held()
    near, server = connect(routes, tcp=True)
    near.sendall(GET)
    until(lambda: routes.requests)
    near.close()
    server.get(timeout=LONG)
    routes.go.set()
    assert statuses(talk(routes, [GET])) == [200]


def test_a_slow_reader_stops_the_generator() -> None:
    source = Source()
    near, server = connect(streaming(iter([b"x" * 65536] * 1000), source))
    near.sendall(GET)
    gevent.sleep(0.2)
    assert 0 < source.taken < 500
    near.shutdown(socket.SHUT_WR)
    received = rest(near)
    server.get(timeout=LONG)
    assert (source.taken, source.closed) == (1000, True)
    assert received.endswith(b"\r\n0\r\n\r\n")


def test_a_reader_that_stopped_for_good_is_closed() -> None:
    source = Source()
    routes = streaming(iter([b"x" * 65536] * 1000), source)
    near, server = connect(routes, Connections(LIMITS._replace(send=0.2)))
    near.sendall(GET)
    server.get(timeout=LONG)
    assert source.closed
    assert routes.statuses == [499]
    near.close()


def test_a_reader_that_is_only_slow_gets_everything() -> None:
    """Slower than the kernel needs to take more within `send`."""
    routes = Echo(lambda _: Reply(b"x" * 6_000_000))
    near, _ = connect(routes, Connections(LIMITS._replace(send=0.25)), tcp=True)
    near.sendall(GET)
    received = 0
    while received < 6_000_000 and (piece := near.recv(20_000)):
        received += len(piece)
        gevent.sleep(0.005)
    assert received > 6_000_000
    assert routes.statuses == [200]


def test_a_reader_that_leaves_closes_the_generator_even_if_nothing_comes_of_it() -> None:
    def slow() -> Iterator[bytes]:
        yield b"first"
        Event().wait()

    source = Source()
    routes = streaming(slow(), source)
    near, server = connect(routes, tcp=True)
    near.sendall(GET)
    assert b"first" in near.recv(65536)
    near.close()
    server.get(timeout=LONG)
    assert source.closed
    assert routes.statuses == [499]


def test_a_reader_that_half_closed_gets_the_whole_stream() -> None:
    def slow() -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            gevent.sleep(0.2)

    near, _ = connect(streaming(slow(), Source()), tcp=True)
    near.sendall(GET)
    near.shutdown(socket.SHUT_WR)
    _, _, body = rest(near).rpartition(b"\r\n\r\n3\r\n")
    assert body == b"one\r\n03\r\ntwo\r\n0\r\n\r\n"


def test_what_is_probed_after_a_stream_is_a_request_again() -> None:
    routes = streaming(iter([b"one"]), Source())
    near, _ = connect(routes, tcp=True)
    near.sendall(GET)
    assert near.recv(65536).endswith(b"0\r\n\r\n")
    held = Held()
    routes._answer = held._held
    near.sendall(GET)
    near.shutdown(socket.SHUT_WR)
    gevent.sleep(0.2)
    held.go.set()
    assert rest(near).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    routes = streaming(iter([b"one", b"two"]), Source())
    received = talk(routes, [b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"])
    assert received.endswith(b"\r\n\r\nonetwo")
    assert b"Connection: close" in received


def test_a_stream_that_breaks_off_has_no_end() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one"
        raise BrokenPipeError

    routes = streaming(broken(), Source())
    received = talk(routes, [GET])
    assert received.endswith(b"3\r\none\r\n")
    assert routes.statuses == [200]


def test_what_goes_wrong_in_the_server_is_a_problem() -> None:
    def answer(_: Request) -> Reply:
        raise ZeroDivisionError

    assert statuses(talk(Echo(answer), [GET + GET])) == [500, 500]


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_none(status: int) -> None:
    received = talk(Echo(lambda _: Reply(b"no", status=status)), [GET])
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in received


def test_head_tells_the_length_of_what_it_does_not_send() -> None:
    received = talk(Echo(lambda _: Reply(b"abc")), [head(line="HEAD / HTTP/1.1") + GET])
    assert received.count(b"Content-Length: 3\r\n") == 2
    assert received.count(b"abc") == 1


def test_a_predictor_cannot_frame_its_reply_a_second_time() -> None:
    odd = {"Content-Length": "1", "transfer-encoding": "chunked", "Connection": "close", "X": "y"}
    odd["x-request-id"] = "another"
    received = talk(Echo(lambda _: Reply(b"abc", headers=odd)), [GET])
    assert b"another" not in received
    assert received.count(b"Content-Length") == 1
    assert b"chunked" not in received
    assert b"X: y\r\n" in received


def test_a_reply_larger_than_any_buffer_arrives_whole() -> None:
    received = talk(Echo(lambda _: Reply(b"x" * 20_000_000)), [GET])
    assert len(received.partition(b"\r\n\r\n")[2]) == 20_000_000


def test_a_drain_closes_what_is_idle_and_finishes_what_has_begun() -> None:
    connections = Connections(LIMITS)
    routes = Held()
    idle, _ = connect(routes, connections)
    begun, _ = connect(routes, connections)
    waiting, _ = connect(routes, connections)
    begun.sendall(head("Content-Length: 3") + b"a")
    waiting.sendall(GET)
    until(lambda: len(routes.requests) == 1)
    connections.drain()
    assert rest(idle) == b""
    assert not connections.wait_until_none(0.05)
    routes.go.set()
    begun.sendall(b"bc")
    for near in (begun, waiting):
        received = rest(near)
        assert statuses(received) == [200]
        assert b"Connection: close" in received
    assert connections.wait_until_none(LONG)


def test_a_request_that_is_on_its_way_when_the_drain_begins_is_answered() -> None:
    connections = Connections(LIMITS)
    near, _ = connect(Echo(), connections)
    gevent.sleep(0)
    connections.drain()
    near.sendall(GET + GET)
    received = rest(near)
    assert statuses(received) == [200, 200]
    assert received.count(b"Connection: close") == 1


def test_a_long_queue_of_pipelined_requests_is_read_as_it_is_answered() -> None:
    """More of them than is kept in memory."""
    assert len(GET) * 20_000 > 4 * Limits().pipelined
    assert statuses(talk(Echo(), [GET * 20_000])) == [200] * 20_000


def test_others_have_their_turns_while_one_client_asks_a_thousand_times_at_once() -> None:
    other, turns = Echo(), 0

    def count() -> None:
        nonlocal turns
        while True:
            hub.turn()
            turns += 1

    counting = gevent.spawn(count)
    many = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert statuses(talk(other, [many * 10_000])) == [200] * 10_000
    counting.kill()
    assert turns >= len(many) * 10_000 / 8192


def test_a_thousand_upgrades_at_once_are_a_thousand_requests() -> None:
    upgrade = head("Connection: Upgrade", "Upgrade: a", line="GET / HTTP/1.1")
    assert statuses(talk(Echo(), [upgrade * 1000])) == [200] * 1000


def test_many_small_chunks_take_no_more_memory_than_their_content() -> None:
    parser = Parser(2**26)
    parser.feed(chunked(b""))
    chunks = b"2\r\nab\r\n" * 10_000
    tracemalloc.start()
    for _ in range(50):
        parser.feed(chunks)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    parser.feed(b"0\r\n\r\n")
    assert parser.ready[0].request.body == b"ab" * 500_000
    assert held < 2 * 1_000_000


def test_thousands_that_were_left_at_once_are_closed() -> None:
    connections = Connections(LIMITS._replace(idle=0.3))
    left = [connect(Echo(), connections)[0] for _ in range(250)]
    until(lambda: not len(connections))
    assert [near.recv(1) for near in left] == [b""] * 250


def test_a_request_is_asked_when_its_head_is_there() -> None:
    routes = Echo()
    near, _ = connect(routes)
    near.sendall(head("Content-Length: 3") + b"a")
    gevent.sleep(0.1)
    near.sendall(b"bc" + GET)
    until(lambda: len(routes.requests) == 2)
    slow, quick = routes.requests
    assert slow.arrived - slow.asked >= 0.05
    assert 0 <= quick.arrived - quick.asked < 0.05


@pytest.mark.parametrize("given", [b"abc-123", b"a b", b"x" * 200])
def test_a_request_id_is_the_callers_or_new(given: bytes) -> None:
    routes = Echo()
    talk(routes, [head(b"X-Request-Id: " + given) + GET])
    first, second = (request.id for request in routes.requests)
    assert (first == given.decode()) is (given == b"abc-123")
    assert first != second
    assert len(second) == 32


def test_names_are_in_lower_case_whatever_their_spelling() -> None:
    routes = Echo()
    talk(
        routes,
        [
            head(
                "x-CUSTOM: a",
                "CONTENT-TYPE: b/c",
                "Cookie: d",
                "Cookie: e",
                "X-custom: f",
                "X_Custom: g",
            )
        ],
    )
    assert routes.requests[0].headers == {
        "host": "a", "x-custom": "a, f", "content-type": "b/c", "cookie": "d; e",
    }  # fmt: skip


def test_a_target_is_path_and_query() -> None:
    routes = Echo()
    talk(routes, [head(line="GET http://b:80/%C3%A9/x?y=%20#z HTTP/1.1")])
    (request,) = routes.requests
    assert (request.path.encode("latin-1").decode(), request.query) == ("/é/x", "y=%20")
    assert request.headers["host"] == "b:80"
    assert json.loads(talk(routes, [GET]).partition(b"\r\n\r\n")[2]) == {"path": "/a", "size": 0}
