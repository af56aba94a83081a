from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def server(status: Callable[[int], int | None]) -> Iterator[str]:
    """Answers request number n with `status(n)`; None: it hangs up."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if (code := status(int(body))) is not None:
                self.send_response(code)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """To nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()
        thread.join()


def test_each_request_has_its_outcome_however_it_ends() -> None:
    ends = {0: 200, 1: 503, 2: None}

    with (
        server(lambda number: ends[number % 3]) as url,
        load.client(url, "function", lambda number: number) as send,
    ):
        asked = load.crowd(send, clients=4, requests=30)

    assert Counter(each.status for each in asked.outcomes) == {200: 10, 503: 10, 0: 10}
    assert sorted(each.number for each in asked.failed) == [n for n in range(30) if n % 3]


def test_requests_come_though_those_before_are_not_answered() -> None:
    five_are_here = threading.Event()

    def answer(number: int) -> int:
        if number >= 4:
            five_are_here.set()
        return 200 if five_are_here.wait(timeout=20) else 503

    with (
        server(answer) as url,
        load.client(url, "function", lambda number: number) as send,
        load.steady(send, per_second=50) as running,
    ):
        eventually(lambda: len(running.outcomes) >= 5, "five are answered")

    assert running.failed == []
