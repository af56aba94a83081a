from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from lib import load, servers
from lib.connection import CUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE_AT_A_TIME = threading.Lock()
SERVICE = 0.05


class Waiting:
    """Counts the requests that are under way in the server at once."""

    now = most = 0

    def __enter__(self) -> None:
        Waiting.now += 1
        Waiting.most = max(Waiting.most, Waiting.now)

    def __exit__(self, *_: object) -> None:
        Waiting.now -= 1


class Handler(BaseHTTPRequestHandler):
    """Answers with what it got, one after the other; `bad` with 500, `gone` with a closed door."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"gone":
            self.close_connection = True
            return
        with Waiting(), ONE_AT_A_TIME:
            time.sleep(SERVICE)
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def listening() -> Iterator[int]:
    with Quiet(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening() as number:
        yield number


def test_latency_counts_from_when_a_request_was_due(port: int) -> None:
    done = load.open_loop(port, [0.0] * 5, [load.request(b"x")])

    # The server takes them one by one; a closed loop would see SERVICE for each.
    assert len(done.good) == 5
    assert done.ms(1.0) >= 5 * SERVICE * 1000
    assert done.ms(0.01) < 4 * SERVICE * 1000
    assert done.seconds >= 5 * SERVICE


@pytest.mark.parametrize(
    ("send", "most"),
    [
        (lambda port: load.open_loop(port, [0.0] * 8, [load.request(b"x")]), 8),
        (lambda port: load.closed_loop(port, 2, lambda _: load.request(b"x"), 0.3), 2),
    ],
    ids=["open loop", "closed loop"],
)
def test_only_a_closed_loop_waits_for_the_server(
    send: Callable[[int], load.Load], most: int, port: int
) -> None:
    Waiting.most = 0

    send(port)

    assert Waiting.most == most


def test_requests_are_sent_in_turn(port: int) -> None:
    wires = [load.request(b"x"), load.request(b"bad")]

    done = load.open_loop(port, [0.0] * 4, wires)

    assert {s.number: s.status for s in done.samples} == {0: 200, 1: 500, 2: 200, 3: 500}
    assert done.failed == 2


def test_a_connection_that_ends_without_a_reply_is_cut(port: int) -> None:
    done = load.open_loop(port, [0.0, 0.1], [load.request(b"gone"), load.request(b"x")])

    assert {s.number: s.status for s in done.samples} == {0: CUT, 1: 200}


def test_nobody_listening_is_refused() -> None:
    port = servers.free_port()

    done = load.open_loop(port, [0.0], [load.request(b"x")])

    assert [sample.status for sample in done.samples] == [load.REFUSED]
    assert done.ms(0.5) == float("inf")
    assert done.per_second == 0


def test_clients_of_a_closed_loop_wait_for_each_answer(port: int) -> None:
    done = load.closed_loop(port, 2, lambda n: load.request(str(n).encode()), 0.5)

    assert done.failed == 0
    assert 2 < len(done.samples) <= 12  # 0.5 s of 50 ms each, and two more
    assert sorted(s.number for s in done.samples) == list(range(len(done.samples)))


def test_a_client_that_is_refused_stops() -> None:
    done = load.closed_loop(servers.free_port(), 3, lambda _: load.request(b"x"), 30)

    assert [sample.status for sample in done.samples] == [load.REFUSED] * 3


def test_a_reply_may_come_byte_by_byte() -> None:
    reply = b"HTTP/1.1 201 Created\r\nX: y\r\nCONTENT-LENGTH: 5\r\n\r\nhello"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.recv(1000)
                for byte in reply:
                    client.sendall(bytes([byte]))
                client.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        done = load.open_loop(listener.getsockname()[1], [0.0], [load.request(b"x")])
        thread.join()

    assert [sample.status for sample in done.samples] == [201]


def test_windows_are_pooled_as_if_they_were_one() -> None:
    def window(seconds: list[float], cpu: float) -> load.Window:
        samples = [load.Sample(n, 0, latency, 200) for n, latency in enumerate(seconds)]
        return load.Window(load.Load(samples, 2.0), cpu)

    pooled = load.pooled([window([0.1] * 98, 1.0), window([0.3, 0.4], 0.5)])

    assert pooled.load.ms(0.98) == 100
    assert pooled.load.ms(0.99) == 300
    assert pooled.load.per_second == 25
    assert pooled.cpu == 1.5
