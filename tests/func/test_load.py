"""Many requests at once."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from mlfunc import load
from mlfunc.client import Connection, Request
from mlfunc.errors import UsageError
from mlfunc.load import Sample

if TYPE_CHECKING:
    from .conftest import Handler, Server


def test_every_request_is_sent_once_over_as_many_connections_as_asked_for(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200, b"ok")

    summary = load.run(
        partial(Connection, server.url, 5),
        lambda i: Request(body=str(i).encode()),
        number=40,
        concurrency=4,
    )

    assert sorted(int(body) for _, _, body in server.requests) == list(range(40))
    assert 1 <= len(server.connections) <= 4
    assert (summary.requests, summary.errors) == (40, {})
    times = (summary.p50_ms, summary.p95_ms, summary.p99_ms, summary.max_ms)
    assert list(times) == sorted(filter(None, times))
    assert summary.per_second > 0


def test_errors_are_counted_by_status(server: Server) -> None:
    replies = itertools.cycle([200, 503, 503])
    server.answers["POST"] = lambda h: h.reply(next(replies))

    summary = load.run(
        partial(Connection, server.url, 5), lambda _: Request(), number=9, concurrency=1
    )

    assert summary.errors == {"503": 6}
    assert summary.first_error == "503 Service Unavailable"


def test_it_is_told_how_many_are_answered(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200)
    counts: list[int] = []

    load.run(
        partial(Connection, server.url, 5),
        lambda _: Request(),
        number=3,
        concurrency=2,
        report=counts.append,
    )

    assert counts == [1, 2, 3]


def test_what_is_not_answered_is_counted_by_its_cause() -> None:
    summary = load.run(
        partial(Connection, "http://127.0.0.1:9", 5), lambda _: Request(), number=3, concurrency=2
    )

    assert summary.errors == {"ConnectionRefusedError": 3}
    assert summary.p50_ms is None
    assert summary.first_error == "nothing answers at http://127.0.0.1:9: connection refused"


@pytest.mark.parametrize(
    ("ending", "errors"),
    [(b"end", {}), (b"error", {"200, then an error in the stream": 4})],
    ids=["whole", "broken"],
)
def test_a_stream_counts_by_how_it_ends(
    ending: bytes, errors: dict[str, int], server: Server
) -> None:
    server.answers["POST"] = lambda h: h.stream(
        b'data: "a"\n\n', b"event: " + ending + b"\ndata: {}\n\n"
    )

    summary = load.run(
        partial(Connection, server.url, 5), lambda _: Request(), number=4, concurrency=1
    )

    assert summary.errors == errors
    assert len(server.connections) == 1


def test_a_mistake_of_the_caller_s_is_no_failure_of_the_function(server: Server) -> None:
    with pytest.raises(UsageError):
        load.run(
            partial(Connection, server.url, 5),
            lambda _: Request(headers={"x": "☃"}),
            number=9,
            concurrency=2,
        )

    assert not server.requests


def test_an_interrupt_waits_for_no_reply(server: Server) -> None:
    answered = threading.Event()

    def wait(_: Handler) -> None:
        answered.wait(60)

    server.answers["POST"] = wait
    us = threading.get_ident()
    threading.Timer(0.3, signal.pthread_kill, (us, signal.SIGINT)).start()
    began = time.monotonic()

    summary = load.run(
        partial(Connection, server.url, 30), lambda _: Request(), number=10**9, concurrency=2
    )

    assert (summary.interrupted, summary.requests) == (True, 0)
    assert time.monotonic() - began < 30
    answered.set()


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99)])
def test_percentiles_are_by_nearest_rank(percent: int, expected: float) -> None:
    assert load.percentile([float(i) for i in range(1, 101)], percent) == expected
    assert load.percentile([7.0], percent) == 7.0


def test_times_are_of_successes_only() -> None:
    samples = [Sample("200", ok=True, seconds=0.01), Sample("500", ok=False, seconds=9.0)]

    assert load.summarize(samples, 1, 2.0).max_ms == pytest.approx(10.0)
    assert load.summarize(samples, 1, 2.0).per_second == 0.5
