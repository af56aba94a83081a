"""Totals that grow, as rates and quantiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.dashboard.measures import Meter, quantile
from mlfunc.supervisor.dashboard.sources import Counted, Latencies

BOUNDS = (0.01, 0.1, 1.0)


def counted(*counts: int, **statuses: int) -> Counted:
    return Counted(statuses=statuses, latencies=Latencies(BOUNDS, counts))


@pytest.mark.parametrize(
    ("counts", "part", "expected"),
    [
        pytest.param((0, 0, 0, 0), 0.5, None, id="none at all"),
        pytest.param((10, 0, 0, 0), 0.5, 0.005, id="in the midst of the first"),
        pytest.param((0, 10, 0, 0), 1.0, 0.1, id="the slowest is no more than its bound"),
        pytest.param((98, 0, 2, 0), 0.99, 0.55, id="between the bounds of the slowest"),
        pytest.param((0, 0, 0, 5), 0.5, 1.0, id="beyond the last bound, that is all one knows"),
    ],
)
def test_a_quantile_lies_between_the_bounds_of_its_count(
    counts: tuple[int, ...], part: float, expected: float | None
) -> None:
    assert quantile(Latencies(BOUNDS, counts), part) == (expected and pytest.approx(expected))


@given(
    st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 1), st.floats(0.01, 1)
)
def test_a_larger_part_never_takes_less(counts: list[int], one: float, other: float) -> None:
    low, high = sorted((one, other))
    took = Latencies(BOUNDS, tuple(counts))

    assert (quantile(took, low) or 0.0) <= (quantile(took, high) or 0.0) + 1e-9


def test_rates_are_of_the_time_since_the_last_reading() -> None:
    meter = Meter()
    meter.read(100.0, counted(0, 0, 0, 0))

    measures = meter.read(102.0, counted(8, 0, 0, 2, **{"2xx": 8, "5xx": 2}))

    assert measures.rates == {"2xx": 4.0, "5xx": 1.0}
    assert measures.rate == 5.0


def test_what_came_before_the_first_reading_is_no_rate() -> None:
    assert Meter().read(100.0, counted(1000, 0, 0, 0, **{"2xx": 1000})).rates == {}


def test_quantiles_forget_what_is_older_than_half_a_minute() -> None:
    meter = Meter()
    meter.read(0.0, counted(0, 0, 0, 0))
    slow = meter.read(1.0, counted(0, 0, 10, 0))
    later = [meter.read(float(second), counted(0, 0, 10, 0)) for second in range(2, 40)]

    assert slow.p99 is not None
    assert later[0].p99 is not None
    assert later[-1].p99 is None


def test_a_gateway_that_has_begun_anew_counts_from_zero() -> None:
    meter = Meter()
    meter.read(0.0, counted(100, 0, 0, 0, **{"2xx": 100}))

    assert meter.read(1.0, counted(1, 0, 0, 0, **{"2xx": 1})).rates == {}
