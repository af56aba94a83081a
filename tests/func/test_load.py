"""Many requests at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from mlfunc import load
from mlfunc.client import Request
from mlfunc.load import Sample

if TYPE_CHECKING:
    from .conftest import Server


def test_every_request_is_sent_once_over_as_many_connections_as_asked_for(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(200, b"ok")

    summary = load.run(
        server.url, lambda i: Request(body=str(i).encode()), number=40, concurrency=4, timeout=5
    )

    assert sorted(int(body) for _, _, body in server.requests) == list(range(40))
    assert 1 <= len(server.connections) <= 4
    assert (summary.requests, summary.errors) == (40, {})
    assert 0 < summary.p50 <= summary.p95 <= summary.p99 <= summary.max
    assert summary.per_second > 0


def test_errors_are_counted_by_status(server: Server) -> None:
    replies = itertools.cycle([200, 503, 503])
    server.answers["POST"] = lambda h: h.reply(next(replies))

    summary = load.run(server.url, lambda _: Request(), number=9, concurrency=1, timeout=5)

    assert summary.errors == {"503": 6}


def test_what_is_not_answered_is_counted_by_its_cause() -> None:
    summary = load.run(
        "http://127.0.0.1:9", lambda _: Request(), number=3, concurrency=2, timeout=5
    )

    assert summary.errors == {"ConnectionRefusedError": 3}
    assert summary.p50 == 0.0


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99)])
def test_percentiles_are_by_nearest_rank(percent: int, expected: float) -> None:
    assert load.percentile([float(i) for i in range(1, 101)], percent) == expected
    assert load.percentile([7.0], percent) == 7.0


def test_times_are_of_successes_only() -> None:
    samples = [Sample("200", ok=True, seconds=0.01), Sample("500", ok=False, seconds=9.0)]

    assert load.summarize(samples, 1, 2.0).max == pytest.approx(10.0)
    assert load.summarize(samples, 1, 2.0).per_second == 0.5
