from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lib import stats

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert stats.percentile(list(range(100, 0, -1)), share) == expected


@given(values=VALUES, share=st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_and_leaves_its_share_below(
    values: list[float], share: float
) -> None:
    found = stats.percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 0.5)


def test_arrivals_come_at_the_rate_with_random_gaps_between() -> None:
    times = stats.poisson(100, 60, seed=1)

    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 5500 < len(times) < 6500
    # The spread of exponential gaps is their mean; evenly spaced ones have none.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)
    assert min(gaps) >= 0
    assert times[-1] < 60


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert stats.poisson(50, 2, seed=7) == stats.poisson(50, 2, seed=7)
    assert stats.poisson(50, 2, seed=7) != stats.poisson(50, 2, seed=8)


def test_lengths_are_mixed_and_most_are_short() -> None:
    lengths = stats.lengths(2000, seed=0)

    assert min(lengths) >= 4
    assert max(lengths) <= 256
    assert 15 < statistics.median(lengths) < 25
    assert statistics.mean(lengths) > statistics.median(lengths) * 1.2


def test_a_round_beside_which_the_machine_was_slower_is_left_out() -> None:
    rounds = [stats.Round({"a": n}, spin) for n, spin in enumerate((0.02, 0.0215, 0.03))]

    assert stats.quiet(rounds) == rounds[:2]


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine got three times slower, for both.
    rounds = [stats.Round({"a": a, "b": b}, 1) for a, b in ((2, 1), (6, 3), (3, 1))]

    assert stats.ratio(rounds, "a", "b") == 2


def test_subjects_take_turns_and_every_other_round_is_reversed() -> None:
    assert list(stats.interleaved("ab", 3)) == [["a", "b"], ["b", "a"], ["a", "b"]]
