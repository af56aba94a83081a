"""How many instances a machine carries: by what each asks for, one at the least."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import carrying
from mlfunc.knative.autoscaler import Policy
from mlfunc.knative.carrying import Bound

MACHINE = {"cpu": 4.0, "memory": 8.0 * 2**30}


def revision(**requests: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "f-00001"},
        "spec": {"containers": [{"resources": {"requests": requests}}]},
    }


@pytest.mark.parametrize(
    ("requests", "most", "why"),
    [
        ({"cpu": "1", "memory": "1Gi"}, 4, "4 cores, and each instance asks for 1"),
        ({"cpu": "1500m"}, 2, "4 cores, and each instance asks for 1.5"),
        ({"cpu": "1", "memory": "3Gi"}, 2, "8Gi of memory, and each instance asks for 3Gi"),
        ({"cpu": "16", "memory": "1Gi"}, 1, "4 cores, and each instance asks for 16"),
    ],
)
def test_what_is_scarcest_bounds_it(requests: dict[str, str], most: int, why: str) -> None:
    assert carrying.of(revision(**requests), MACHINE) == Bound(most, f"this machine has {why}")


def test_what_asks_for_nothing_is_not_bound() -> None:
    assert carrying.of(revision(), MACHINE) is None
    assert carrying.of(revision(cpu="1"), {}) is None
    assert carrying.told(carrying.annotated(revision(), None)) is None


def test_a_revision_says_it_itself() -> None:
    bound = Bound(2, "this machine has 2 cores")
    assert carrying.told(carrying.annotated(revision(), bound)) == bound


@pytest.mark.parametrize(
    ("policy", "most", "initial"),
    [
        (Policy(maximum=10), 2, 1),
        (Policy(maximum=0, initial=4), 2, 2),
        (Policy(maximum=1), 1, 1),
    ],
)
def test_the_least_bound_counts(policy: Policy, most: int, initial: int) -> None:
    bound = carrying.within(policy, Bound(2, ""))
    assert (bound.maximum, bound.initial) == (most, initial)
    assert carrying.within(policy, None) == policy


@pytest.mark.parametrize(("maximum", "binds"), [(0, True), (3, True), (2, False), (1, False)])
def test_it_is_told_where_it_is_what_bounds(maximum: int, binds: bool) -> None:
    told = carrying.annotated(revision(), Bound(2, "why"))
    assert (carrying.bounding(told, maximum) is not None) == binds
