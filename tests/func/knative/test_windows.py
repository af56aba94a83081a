"""The averages of the autoscaler, by the vectors of Knative's own unit tests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import windows
from mlfunc.knative.windows import Recent, Window

_LOADS = st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1000)), max_size=60)


def average(window: Window, second: int) -> float:
    return windows.linear(window.recent(second))


def test_each_second_counts_the_same_and_silent_ones_fall_out() -> None:
    window = Window(5)
    averages = []
    for second, value in enumerate((1, 2, 3, 4, 5)):
        window.record(second, value)
        averages.append(average(window, second))

    assert averages == [1, 1.5, 2, 2.5, 3]
    assert [average(window, second) for second in (6, 10)] == [4, 0]
    window.record(6, 91)
    assert average(window, 6) == 20.6


def test_after_a_silent_window_it_begins_anew_and_late_values_count() -> None:
    window = Window(5)
    window.record(0, 7)
    window.record(60, 1984)
    begun = average(window, 60)
    window.record(57, 4)

    assert (begun, average(window, 60)) == (1984, 497)


def test_a_value_older_than_the_window_is_not_taken() -> None:
    window = Window(5)
    window.record(10, 2)
    window.record(5, 100)

    assert average(window, 10) == 2


def test_values_of_one_second_add_up() -> None:
    window = Window(5)
    window.record(3, 1)
    window.record(3, 2)

    assert average(window, 3) == 3


def test_fading_weights_count_the_newest_most() -> None:
    window, smoothing = Window(5), windows.smoothing(5)

    def read(second: int) -> float:
        return windows.fading(window.recent(second), smoothing)

    window.record(0, 2)
    assert read(0) == pytest.approx(2 * smoothing)
    later = 2 * smoothing * (1 - smoothing)
    assert read(1) == pytest.approx(later)
    window.record(1, 2)
    assert read(1) == pytest.approx(later + 2 * smoothing)
    assert read(17) == 0


@pytest.mark.parametrize(
    ("newest_first", "average"), [((5, 5, 10, 10), 5.544), ((10, 10, 5, 5), 9.072)]
)
def test_fading_weights_are_those_of_the_source(
    newest_first: tuple[float, ...], average: float
) -> None:
    assert windows.fading(Recent(newest_first), 0.6) == pytest.approx(average)


def test_smoothing_leaves_next_to_nothing_older_than_the_window() -> None:
    assert windows.smoothing(60) == 0.2
    assert windows.smoothing(6) == pytest.approx(1 - math.pow(0.0001, 1 / 6))


@given(_LOADS, st.integers(1, 30), st.integers(0, 260))
def test_an_average_lies_within_what_was_recorded(
    loads: list[tuple[int, float]], size: int, now: int
) -> None:
    window = Window(size)
    sums: dict[int, float] = {}
    for second, value in loads:
        window.record(second, value)
        sums[second] = sums.get(second, 0.0) + value

    assert 0 <= average(window, now) <= max(sums.values(), default=0) + 1e-6


@given(_LOADS, st.integers(1, 30))
def test_a_window_later_nothing_is_left(loads: list[tuple[int, float]], size: int) -> None:
    window = Window(size)
    for second, value in loads:
        window.record(second, value)

    assert average(window, max((at for at, _ in loads), default=0) + size) == 0
