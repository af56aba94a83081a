"""Functions under load in simulated time: the scenarios that a simulation before this one told of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlfunc.knative import simulation
from mlfunc.knative.autoscaler import Policy
from mlfunc.knative.instances import Serving

if TYPE_CHECKING:
    from mlfunc.knative.simulation import Outcome

_FOUR = Policy(total=4, burst_capacity=-1)
_BURST = simulation.at_once(20, within=0.2)


def burst(concurrency: int) -> Outcome:
    """20 requests of 10 s each, four at once in an instance, which takes 15 s to start."""
    serving = Serving(10, 15, slots=4, concurrency=concurrency)
    return simulation.simulate(_FOUR, serving, _BURST)


def test_a_burst_starts_one_instance_at_once_and_more_with_each_tick() -> None:
    timeline = burst(4).timeline
    grows = [(each.at, each.wanted) for each in timeline if each.at < 15]

    assert grows == [(0, 1), (2, 5), (4, 6), (6, 7), (8, 8)]


def test_after_a_burst_all_stay_for_a_window() -> None:
    shrinks = [each.at for each in burst(4).timeline if each.wanted < 8 and each.at > 8]

    assert shrinks[0] == 78


@pytest.mark.parametrize(
    ("concurrency", "p50", "longest"), [(4, 26.9, 27.0), (8, 26.9, 35.0), (16, 35.0, 54.9)]
)
def test_room_far_above_the_slots_lets_the_first_instance_swallow_a_burst(
    concurrency: int, p50: float, longest: float
) -> None:
    latency = burst(concurrency).latency

    assert latency.p50 == pytest.approx(p50, abs=0.1)
    assert latency.longest == pytest.approx(longest, abs=0.1)


@pytest.mark.parametrize(("takes", "zero"), [(1, 76), (40, 116)])
def test_a_single_request_keeps_its_instance_for_a_window_after_its_end(
    takes: float, zero: float
) -> None:
    outcome = simulation.simulate(_FOUR, Serving(takes, 10, slots=4, concurrency=4), [0.0])

    assert outcome.latency.longest == 10 + takes
    assert outcome.idle == pytest.approx(zero, abs=6)
    assert [each.wanted for each in outcome.timeline] == [1, 1, 0]


def test_a_request_above_the_target_starts_two_instances() -> None:
    outcome = simulation.simulate(replace(_FOUR, total=1), Serving(1, 10, concurrency=1), [0.0])

    assert outcome.timeline[0].wanted == 2


def test_min_takes_the_cold_start_away_and_max_makes_requests_wait() -> None:
    kept = replace(_FOUR, total=1, minimum=1, maximum=1)
    outcome = simulation.simulate(kept, Serving(1, 10), simulation.at_once(3))

    assert (outcome.latency.p50, outcome.latency.longest) == (2, 3)
    assert {each.wanted for each in outcome.timeline} == {1}


def test_a_batch_is_answered_at_once() -> None:
    kept = replace(_FOUR, minimum=1, maximum=1)
    outcome = simulation.simulate(kept, Serving(1, 10, batch=4), simulation.at_once(8))

    assert (outcome.latency.p50, outcome.latency.longest) == (1, 2)


def test_a_request_that_waits_too_long_is_given_up() -> None:
    kept = replace(_FOUR, total=1, minimum=1, maximum=1)
    serving = Serving(10, 1, concurrency=1, timeout=25)
    outcome = simulation.simulate(kept, serving, simulation.at_once(4))

    assert (outcome.answered, outcome.timed_out) == (2, 2)


def test_without_a_reply_there_is_no_latency() -> None:
    outcome = simulation.simulate(_FOUR, Serving(1, 30, timeout=10), [0.0])

    assert (outcome.answered, outcome.timed_out) == (0, 1)
    assert math.isnan(outcome.latency.p50)


def test_where_zero_is_forbidden_one_instance_is_the_least() -> None:
    outcome = simulation.simulate(replace(_FOUR, to_zero=False), Serving(1, 10), [0.0])

    assert outcome.latency.longest == 1


def test_what_no_route_names_is_kept_by_no_min() -> None:
    unrouted = replace(_FOUR, minimum=2, reachable=False)

    assert simulation.simulate(unrouted, Serving(1, 10), [0.0]).timeline[-1].wanted == 0


def test_a_steady_rate_below_the_target_needs_one_instance() -> None:
    serving = Serving(0.2, 2, slots=4, concurrency=8)
    outcome = simulation.simulate(
        replace(_FOUR, minimum=1), serving, simulation.steady(rate=5, seconds=30)
    )

    assert {each.wanted for each in outcome.timeline} == {1}
    assert outcome.latency.longest == pytest.approx(0.2)


_SERVINGS = st.builds(
    Serving,
    prediction=st.floats(0.05, 20),
    cold_start=st.floats(0.1, 60),
    slots=st.integers(1, 4),
    batch=st.integers(1, 4),
    concurrency=st.integers(0, 8),
    timeout=st.sampled_from([30.0, 300.0]),
)
_SCALES = st.builds(
    Policy,
    total=st.floats(0.5, 8),
    minimum=st.integers(0, 2),
    maximum=st.sampled_from([0, 2, 5]),
    delay=st.sampled_from([0.0, 30.0]),
    retention=st.sampled_from([0.0, 90.0]),
    burst_capacity=st.just(-1.0),
    fading=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(_SCALES, _SERVINGS, st.lists(st.floats(0, 120), min_size=1, max_size=40))
def test_each_request_has_one_end_and_the_function_comes_to_rest(
    policy: Policy, serving: Serving, arrivals: list[float]
) -> None:
    outcome = simulation.simulate(policy, serving, arrivals)

    assert outcome.answered + outcome.timed_out == len(arrivals)
    assert outcome.timeline[-1].wanted == policy.minimum
    assert all(0 <= each.ready <= each.wanted for each in outcome.timeline)
    assert not policy.maximum or max(e.wanted for e in outcome.timeline) <= policy.maximum
    if outcome.answered:
        assert outcome.latency.p50 >= serving.prediction * 0.999
        assert outcome.latency.p50 <= outcome.latency.p99 <= outcome.latency.longest
