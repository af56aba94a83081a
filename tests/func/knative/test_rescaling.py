"""What a revision is told anew, and what its PodAutoscaler shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import ClusterFailed, UsageError
from mlfunc.function import Scale
from mlfunc.knative import rescaling
from mlfunc.knative.rescaling import Wish

_PREFIX = "autoscaling.knative.dev/"


def revision(**told: str) -> dict[str, Any]:
    annotations = {_PREFIX + key.replace("_", "-"): value for key, value in told.items()}
    return {
        "metadata": {"name": "f-00001", "annotations": annotations},
        "spec": {"containerConcurrency": 4},
    }


def autoscaler(
    active: str, wanted: int, *, reachability: str = "Reachable", **annotations: str
) -> dict[str, Any]:
    told = {"type": "Active", "status": active, "lastTransitionTime": "2026-01-02T03:04:05Z"}
    return {
        "metadata": {"name": "f-00001", "annotations": annotations},
        "spec": {"reachability": reachability},
        "status": {"desiredScale": wanted, "actualScale": wanted, "conditions": [told]},
    }


def test_what_is_not_wished_stays() -> None:
    assert Wish(min=2).annotations == {f"{_PREFIX}min-scale": "2"}
    assert Wish(max=0, target=0.5).annotations == {
        f"{_PREFIX}max-scale": "0",
        f"{_PREFIX}target": "0.5",
    }


@given(st.integers(0, 10**6), st.floats(0.01, 10_000))
def test_numbers_are_written_as_knative_reads_them(count: int, target: float) -> None:
    told = Wish(min=count, target=target).annotations

    assert int(told[f"{_PREFIX}min-scale"]) == count
    assert float(told[f"{_PREFIX}target"]) == pytest.approx(target)


def test_a_wish_is_checked_with_the_bound_that_is_there_already() -> None:
    with pytest.raises(UsageError, match="min is 5, more than max, which is 3"):
        Wish(min=5).upon({"max-scale": "3"})
    with pytest.raises(UsageError, match="min is 2, more than max, which is 1"):
        Wish(max=1).replacing(Scale(min=2))
    assert Wish(min=5, max=0).upon({"maxScale": "3"}) == {"max-scale": "0", "min-scale": "5"}


@pytest.mark.parametrize("version", ["1.21.0", "v1.23.1", "2.0", "devel", ""])
def test_a_knative_that_can_or_does_not_tell_passes(version: str) -> None:
    rescaling.check_version(version)


@pytest.mark.parametrize("version", ["1.20.9", "v1.9.0", "0.26.0"])
def test_a_knative_that_cannot_is_refused_with_the_way_out(version: str) -> None:
    with pytest.raises(ClusterFailed) as caught:
        rescaling.check_version(version)

    assert "deploy" in caught.value.hint


def test_a_podautoscaler_has_taken_it_when_it_says_the_same() -> None:
    told = autoscaler("True", 1, **{f"{_PREFIX}min-scale": "1"})

    assert rescaling.has_taken(told, Wish(min=1))
    assert not rescaling.has_taken(told, Wish(min=1, max=2))


@pytest.mark.parametrize(
    ("told", "seen", "why"),
    [
        ({"min_scale": "1"}, autoscaler("True", 1), "min keeps them"),
        ({}, autoscaler("False", 0), "no requests since 2026-01-02T03:04:05Z"),
        ({}, autoscaler("Unknown", 1), "an instance starts; requests wait for it"),
        ({"max_scale": "2"}, autoscaler("True", 2), "max allows no more"),
        ({}, autoscaler("True", 0, reachability="Unreachable"), "no requests are routed to it"),
        ({}, None, "its PodAutoscaler is not there yet"),
        (
            {},
            autoscaler("True", 2),
            "2.8 to 5.6 requests at once, on average of 60 s or in a burst within them",
        ),
    ],
)
def test_why_there_are_so_many_is_told(
    told: dict[str, str], seen: dict[str, Any] | None, why: str
) -> None:
    assert rescaling.state(revision(**told), seen, 100, {}).why == why


def test_what_the_next_revision_will_not_have_is_told_by_the_keys_of_mlfunc_yaml() -> None:
    template = {"min-scale": "0", "max-scale": "3"}

    assert rescaling.differing(Wish(min=1, max=3, target=2), template) == {
        "min": "0",
        "target": None,
    }


def test_what_does_not_count_now_is_noted() -> None:
    unrouted = autoscaler("False", 0, reachability="Unreachable")
    state = rescaling.state(revision(target="9"), unrouted, 0, {})

    notes = rescaling.notes(state, Wish(target=9))

    assert notes == [
        "no requests are routed to f-00001: min counts once some are",
        "f-00001 takes 4 requests at once: that is its target, too",
    ]
