"""The cost model, against truths it has to find."""

from __future__ import annotations

import random
from math import isfinite
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.cost import Cost

if TYPE_CHECKING:
    from collections.abc import Callable

    Truth = Callable[[int, float], float]
    Sizes = Callable[[random.Random], float]

PADDED: Truth = lambda n, longest: 0.008 + 0.0003 * n * longest  # noqa: E731
COUNTED: Truth = lambda n, longest: 0.008 + 0.0047 * n  # noqa: E731
CONSTANT: Truth = lambda n, longest: 0.008  # noqa: E731
BOTH: Truth = lambda n, longest: 0.002 + 0.001 * n + 0.00005 * n * longest  # noqa: E731
TRUTHS = pytest.mark.parametrize(
    "truth", [PADDED, COUNTED, CONSTANT, BOTH], ids=["padded", "counted", "constant", "both"]
)
MIXED: Sizes = lambda chance: min(256.0, max(4.0, chance.lognormvariate(3.0, 0.8)))  # noqa: E731
SAME: Sizes = lambda chance: 20.0  # noqa: E731


def learned(
    truth: Truth,
    *,
    sizes: Sizes = MIXED,
    most: int = 16,
    count: int = 300,
    noise: float = 0.0,
    outliers: float = 0.0,
    cost: Cost | None = None,
) -> Cost:
    """A model that saw `count` batches."""
    chance = random.Random(7)
    cost = cost or Cost()
    for _ in range(count):
        n, longest = chance.randint(1, most), sizes(chance)
        factor = (1 + chance.gauss(0, noise)) * (3 if chance.random() < outliers else 1)
        cost.observe(n, longest, truth(n, longest) * factor)
    return cost


def error(cost: Cost, truth: Truth, sizes: tuple[float, ...] = (8, 30, 100)) -> float:
    """The worst relative error over what batches can be."""
    return max(
        abs(cost.seconds(n, longest) / truth(n, longest) - 1)
        for n in (1, 2, 5, 8, 16)
        for longest in sizes
    )


@TRUTHS
def test_it_finds_the_truth(truth: Truth) -> None:
    assert error(learned(truth), truth) < 0.03


@TRUTHS
def test_noise_and_slow_outliers_move_it_little(truth: Truth) -> None:
    assert error(learned(truth, noise=0.1, outliers=0.05), truth) < 0.25


@TRUTHS
def test_of_one_size_it_knows_that_size(truth: Truth) -> None:
    assert error(learned(truth, sizes=SAME), truth, sizes=(20.0,)) < 0.03


def test_a_size_that_means_nothing_costs_nothing() -> None:
    fixed, _, unit = learned(COUNTED, noise=0.05).terms
    assert unit * 256 < 0.1 * fixed


def test_few_batches_are_enough_to_decide_and_the_first_slow_one_is_forgiven() -> None:
    cost = Cost()
    cost.observe(1, 20.0, 30.0)  # something compiled itself
    assert not cost.known
    learned(PADDED, count=10, cost=cost)
    assert cost.known
    assert error(cost, PADDED) < 0.5


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_it_follows_a_model_that_changes_its_pace(factor: float) -> None:
    def changed(n: int, longest: float) -> float:
        return PADDED(n, longest) * factor

    cost = learned(PADDED, noise=0.05)
    assert error(learned(changed, count=100, noise=0.05, cost=cost), changed) < 0.25


def test_a_knee_that_no_straight_line_has_is_bent() -> None:
    def knee(n: int, longest: float) -> float:
        return 0.005 * max(n, 8)

    cost = learned(knee)
    straight = Cost()
    straight.terms = cost.terms
    assert error(cost, knee) < 0.75 * error(straight, knee)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(1e-3, 1e7), st.floats(0, 1e4)), max_size=40)
)
def test_whatever_it_sees_costs_stay_finite_and_never_negative(
    seen: list[tuple[int, float, float]],
) -> None:
    cost = Cost()
    for n, longest, seconds in seen:
        cost.observe(n, longest, seconds)
        assert all(term >= 0 and isfinite(term) for term in cost.terms)
    for n in range(1, 130):
        assert 0 <= cost.seconds(n, 10.0) < float("inf")


def test_nothing_is_foretold_to_cost_more_than_the_largest_of_what_ran() -> None:
    cost = Cost()
    for n, longest in [(1, 10.0), (8, 10.0), (1, 1000.0), (4, 10.0), (1, 20.0)] * 4:
        cost.observe(n, longest, 0.001 * n * longest)
    assert cost.foretold(1, 1e9) == cost.seconds(1, 1000.0)
    assert cost.foretold(64, 5.0) == cost.seconds(8, 5.0)
    assert cost.foretold(8, 1000.0) == cost.seconds(8, 1000.0 / 8)
