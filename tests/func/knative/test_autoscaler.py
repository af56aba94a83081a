"""The decision of the autoscaler, by the vectors of Knative's own unit tests.

There, up and down rates are 10, the panic threshold 2 and the utilization 75 %.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import autoscaler
from mlfunc.knative.autoscaler import Memory, Policy, Seen


def policy(target: float, **others: Any) -> Policy:
    """As those tests make it: it aims at `target`."""
    given = {"up_rate": 10.0, "down_rate": 10.0, **others}
    return Policy(total=target / 0.75, utilization=0.75, **given)


def wanted(
    policy: Policy, *steps: tuple[float, int, float, float], memory: Memory | None = None
) -> list[int]:
    """What is wanted at steps of time, ready instances, stable and panic average."""
    remembered, found = memory or Memory(), []
    for now, ready, stable, panic in steps:
        decision = autoscaler.decide(policy, remembered, Seen(stable, panic, ready), now)
        remembered = decision.memory
        found.append(decision.want)
    return found


@pytest.mark.parametrize(
    ("ready", "stable", "panic", "target", "want"),
    [(1, 50, 50, 10, 5), (1, 0, 0, 10, 0), (1, 21, 26, 181, 1)],
)
def test_there_are_as_many_as_the_load_is_times_the_target(
    ready: int, stable: float, panic: float, target: float, want: int
) -> None:
    assert wanted(policy(target), (0, ready, stable, panic)) == [want]


@pytest.mark.parametrize(("stable", "panic", "want"), [(50, 30, 50), (20, 30, 30)])
def test_in_a_panic_the_larger_average_counts(stable: float, panic: float, want: int) -> None:
    memory = Memory(panic_since=0, panic_most=5)

    assert wanted(policy(1), (1, 5, stable, panic), memory=memory) == [want]


def test_it_grows_no_faster_than_its_rate() -> None:
    assert wanted(policy(1, up_rate=1.1), (0, 2, 3, 3.1)) == [3]
    assert wanted(policy(10), (0, 1, 1000, 1000)) == [10]
    assert wanted(policy(10), (0, 10, 1000, 1000)) == [100]


def test_it_shrinks_no_faster_than_its_rate_while_a_route_names_it() -> None:
    assert wanted(policy(10, down_rate=1.1), (0, 100, 1, 1)) == [90]
    assert wanted(policy(10, down_rate=1.1, reachable=False), (0, 100, 1, 1)) == [1]
    assert wanted(policy(10), (0, 100, 1, 1)) == [10]
    assert wanted(policy(10), (0, 10, 1, 1)) == [1]


def test_a_panic_begins_with_a_burst_and_holds_for_a_window() -> None:
    steps = ((0, 1, 100, 100), (0, 10, 100, 1000), (30, 10, 1, 1), (61, 10, 1, 1))

    assert wanted(policy(10), *steps) == [10, 100, 100, 1]


def test_a_panic_ends_where_no_burst_has_come_for_a_window() -> None:
    steps = ((0, 10, 11, 25), (30, 40, 30, 41), (62, 55, 50, 56))

    assert wanted(policy(1), *steps) == [25, 41, 50]


def test_activation_counts_from_the_first_request() -> None:
    assert wanted(policy(10, activation=2), (0, 1, 0, 0)) == [0]
    assert wanted(policy(10, activation=2), (0, 1, 1, 1)) == [2]


def test_a_delay_keeps_what_was_wanted_within_it() -> None:
    loads = ((2, 40), (300, 0), (302, 0), (540, 40), (600, 30), (660, 0), (840, 0), (900, 0))
    steps = [(now, 1, load, load) for now, load in loads]
    # A panic would hold as well: here, nothing is a burst.
    calm = policy(10, delay=300.0, panic_threshold=10.0)

    assert wanted(calm, *steps) == [4, 4, 0, 4, 4, 4, 3, 0]


@pytest.mark.parametrize(
    ("instances", "sample"), [(0, 0), (1, 1), (2, 2), (5, 4), (10, 7), (100, 14), (1000, 16)]
)
def test_of_many_instances_a_sample_is_asked(instances: int, sample: int) -> None:
    assert autoscaler.sample_size(instances) == sample


def test_an_autoscaler_that_starts_lets_no_instance_go() -> None:
    assert wanted(Policy(), (1, 5, 0, 0), memory=autoscaler.begin(5)) == [5]
    assert wanted(Policy(), (1, 1, 0, 0), memory=autoscaler.begin(1)) == [0]


@pytest.mark.parametrize(("burst", "excess"), [(0, 0), (-1, -1), (211, -117), (10, 84)])
def test_what_is_left_of_the_burst_capacity_says_whether_requests_go_directly(
    burst: float, excess: int
) -> None:
    decision = autoscaler.decide(Policy(burst_capacity=burst), Memory(), Seen(6, 6, 1), now=0)

    assert decision.excess == excess


_LOAD = st.floats(0, 5000)
_POLICIES = st.builds(
    Policy,
    total=st.floats(0.01, 1000),
    utilization=st.floats(0.01, 1),
    delay=st.sampled_from([0.0, 10.0, 60.0]),
    activation=st.integers(1, 5),
)


@given(_POLICIES, st.lists(st.tuples(_LOAD, _LOAD, st.integers(0, 50)), max_size=20))
def test_it_never_exceeds_its_rates(policy: Policy, seen: list[tuple[float, float, int]]) -> None:
    plain = replace(policy, delay=0.0, activation=1)
    for stable, panic, ready in seen:
        (want,) = wanted(plain, (0, ready, stable, panic))
        now = max(1, ready)

        assert now // 2 <= want <= 1000 * now


@given(_POLICIES, st.lists(_LOAD, min_size=2, max_size=20), st.integers(1, 50))
def test_more_load_never_means_fewer_instances(
    policy: Policy, loads: list[float], ready: int
) -> None:
    found = [wanted(policy, (0, ready, load, load))[0] for load in sorted(loads)]

    assert all(less <= more for less, more in pairwise(found))


@given(_POLICIES, st.lists(_LOAD, min_size=2, max_size=20))
def test_in_a_panic_it_never_shrinks(policy: Policy, loads: list[float]) -> None:
    memory, before = Memory(panic_since=0.0, panic_most=1), 0
    for now, load in enumerate(loads):
        decision = autoscaler.decide(policy, memory, Seen(load, load, 1), float(now))
        memory = decision.memory

        assert decision.panics
        assert decision.want >= before
        before = decision.want


@given(_POLICIES, st.integers(1, 50))
def test_beyond_what_is_enough_it_wants_one_more(policy: Policy, ready: int) -> None:
    calm = replace(policy, panic_threshold=1000.0, activation=1)
    limit = autoscaler.enough(calm, ready)

    assert wanted(calm, (0, ready, limit * 1.001, 0))[0] > ready
    assert wanted(calm, (0, ready, limit * 0.999, 0))[0] <= ready


@given(_POLICIES, st.integers(1, 50))
def test_a_burst_is_what_makes_it_panic(policy: Policy, ready: int) -> None:
    limit = autoscaler.burst(policy, ready)
    above, below = (
        autoscaler.decide(policy, Memory(), Seen(0, load, ready), 0.0)
        for load in (limit * 1.001, limit * 0.999)
    )

    assert (above.panics, below.panics) == (True, False)
