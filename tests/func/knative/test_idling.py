"""Bounds, and the way to zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import idling
from mlfunc.knative.autoscaler import Decision, Memory, Policy
from mlfunc.knative.idling import Standing

_POLICY = Policy(window=60, grace=30, burst_capacity=-1)
_ACTIVE = Standing("active", since=0, proxied=0, initialized=True)
_INACTIVE = replace(_ACTIVE, phase="inactive")


def decided(want: int, excess: int = -1) -> Decision:
    return Decision(want, excess, panics=False, memory=Memory())


def settled(
    policy: Policy, standing: Standing, want: int, *, ready: int = 1, now: float
) -> tuple[int | None, str]:
    scale, after = idling.settle(policy, standing, decided(want), ready, now)
    return scale, after.phase


def test_one_stays_until_it_was_active_for_a_window() -> None:
    assert settled(_POLICY, _ACTIVE, 0, now=59) == (1, "active")
    assert settled(_POLICY, _ACTIVE, 0, now=60) == (0, "inactive")


def test_the_last_one_goes_at_once_where_the_activator_has_the_requests_already() -> None:
    just = replace(_INACTIVE, since=100.0)

    assert settled(_POLICY, just, 0, now=100) == (0, "inactive")
    assert settled(_POLICY, replace(just, proxied=99.0), 0, now=128) == (None, "inactive")
    assert settled(_POLICY, replace(just, proxied=99.0), 0, now=129) == (0, "inactive")
    assert settled(_POLICY, replace(just, proxied=None), 0, now=130) == (0, "inactive")


def test_retention_holds_the_last_one_in_any_case() -> None:
    policy = replace(_POLICY, retention=90.0)

    assert settled(policy, _INACTIVE, 0, now=89) == (None, "inactive")
    assert settled(policy, _INACTIVE, 0, now=90) == (0, "inactive")


def test_where_zero_is_forbidden_one_stays() -> None:
    assert settled(replace(_POLICY, to_zero=False), _ACTIVE, 0, now=1000) == (1, "active")


def test_min_keeps_its_instances_and_only_where_a_route_names_the_revision() -> None:
    policy = replace(_POLICY, minimum=2, maximum=3)

    assert settled(policy, _ACTIVE, 0, ready=2, now=1000) == (2, "active")
    assert settled(policy, _ACTIVE, 9, ready=2, now=1000) == (3, "active")
    assert settled(replace(policy, reachable=False), _ACTIVE, 0, now=1000) == (0, "inactive")


def test_a_new_revision_starts_with_its_initial_ones() -> None:
    policy = replace(_POLICY, initial=3)
    new = Standing("activating")

    assert settled(policy, new, 1, ready=0, now=1) == (3, "activating")
    assert settled(policy, new, 1, ready=3, now=1) == (1, "active")


def test_a_start_that_does_not_end_is_given_up_after_the_progress_deadline() -> None:
    starting = Standing("activating", initialized=True)

    assert settled(_POLICY, starting, 0, ready=0, now=629) == (None, "activating")
    assert settled(_POLICY, starting, 0, ready=0, now=630) == (0, "inactive")


def test_it_starts_with_the_first_request_and_is_active_with_the_first_instance() -> None:
    assert settled(_POLICY, _INACTIVE, 1, ready=0, now=5) == (1, "activating")
    assert settled(_POLICY, Standing("activating", initialized=True), 1, now=9) == (1, "active")


def test_spare_capacity_takes_the_activator_out_of_the_way() -> None:
    _, out = idling.settle(_POLICY, _ACTIVE, decided(2, excess=0), 2, 50)
    _, back = idling.settle(_POLICY, out, decided(2, excess=-1), 2, 70)

    assert (out.proxied, back.proxied) == (None, 70)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.floats(0, 1e4), st.booleans())
def test_what_is_set_lies_within_the_bounds(
    want: int, least: int, most: int, now: float, reachable: bool
) -> None:
    most = max(least, most) if most else 0
    policy = replace(_POLICY, minimum=least, maximum=most, reachable=reachable)
    scale, _ = idling.settle(policy, _ACTIVE, decided(want), max(1, least), now)

    assert scale is None or scale <= max(1, most or want, least)
    assert scale is None or not reachable or scale >= least


@pytest.mark.parametrize("phase", ["inactive", "activating", "active"])
@given(want=st.integers(0, 5), ready=st.integers(0, 5), now=st.floats(0, 1e4))
def test_it_settles(phase: idling.Phase, want: int, ready: int, now: float) -> None:
    before = Standing(phase, since=0, proxied=0, initialized=True)
    scale, after = idling.settle(_POLICY, before, decided(want), ready, now)

    assert idling.settle(_POLICY, after, decided(want), ready, now) == (scale, after)
