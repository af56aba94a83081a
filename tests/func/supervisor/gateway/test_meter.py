"""How many requests at once, on average; how long they took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.gateway.meter import BOUNDS, Meter, quantile


class Clock:
    """Stands still unless a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_concurrency_is_what_there_was_on_average_since_it_was_last_asked() -> None:
    clock = Clock()
    meter = Meter(clock)
    came = [meter.enter() for _ in range(3)]
    clock.now = 2.0  # three at once for two seconds
    meter.leave(came[0], 200)
    clock.now = 3.0  # and two for one more
    load = meter.load(waiting=1)
    assert load.concurrency == pytest.approx((3 * 2 + 2 * 1) / 3)
    assert (load.requests, load.in_flight, load.waiting) == (3, 1, 1)
    clock.now = 7.0
    load = meter.load(waiting=0)
    assert load.concurrency == pytest.approx(2)
    assert load.requests == 0
    meter.leave(came[1], 200)
    meter.leave(came[2], 504)
    clock.now = 9.0
    assert meter.load(waiting=0).concurrency == 0
    assert meter.statuses == {200: 2, 504: 1}


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=30))
def test_concurrency_is_the_sum_of_the_times_of_all_requests(
    spans: list[tuple[float, float]],
) -> None:
    clock = Clock()
    meter = Meter(clock)
    moments = [(start, 0, n) for n, (start, _) in enumerate(spans)]
    moments += [(start + long, 1, n) for n, (start, long) in enumerate(spans)]
    came: dict[int, float] = {}
    for clock.now, ends, n in sorted(moments):
        if ends:
            meter.leave(came[n], 200)
        else:
            came[n] = meter.enter()
    clock.now += 1.0
    seconds = sum(long for _, long in spans)
    assert meter.load(waiting=0).concurrency * clock.now == pytest.approx(seconds, abs=1e-6)


def test_two_looks_at_one_moment_have_an_answer() -> None:
    meter = Meter(Clock())
    meter.enter()
    assert meter.load(waiting=0).concurrency == 1
    assert meter.load(waiting=0).concurrency == 1


def test_quantiles_are_within_a_quarter_of_what_was() -> None:
    clock = Clock()
    meter = Meter(clock)
    for number in range(1, 101):
        clock.now = 0.0
        came = meter.enter()
        clock.now = number / 100
        meter.leave(came, 200)
    assert 0.5 <= quantile(tuple(meter.times), 0.5) <= 0.5 * 1.25
    assert 0.99 <= quantile(tuple(meter.times), 0.99) <= 0.99 * 1.25
    assert quantile((0,) * (len(BOUNDS) + 1), 0.5) == 0
