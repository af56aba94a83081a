"""What the autoscaler is told."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import scaling

from tests.func.knative.functions import release


def told(**keys: Any) -> dict[str, str]:
    found = scaling.of(release(**keys).function)
    return {key.removeprefix("autoscaling.knative.dev/"): value for key, value in found.items()}


@pytest.mark.parametrize(
    ("serve", "target", "expected"),
    [
        ({}, None, "1"),
        ({"slots": 2, "batch": {"max_size": 8}}, None, "16"),
        ({"slots": 2, "batch": {"max_size": 8}, "concurrency": 10}, None, "10"),
        ({"slots": 2}, 7.5, "7.5"),
        ({"concurrency": 4}, 7.5, "4"),
    ],
    ids=["one slot", "slots and batches", "no more than come in", "as it says", "but not more"],
)
def test_the_target_is_what_the_slots_can_take(
    serve: dict[str, Any], target: float | None, expected: str
) -> None:
    assert told(serve=serve, scale={"target": target})["target"] == expected


def test_a_target_in_requests_per_second_has_no_bound_of_requests_at_once() -> None:
    rps = {"annotations": {"autoscaling.knative.dev/metric": "rps"}}

    assert told(scale={"target": 123456.75}, deploy=rps)["target"] == "123456.75"
    assert list(scaling.problems(release(deploy=rps).function))


def test_times_are_whole_seconds() -> None:
    found = told(scale={"window": "6.5s", "delay": "100ms", "retention": "1m"})

    assert (found["window"], found["scale-down-delay"]) == ("7s", "1s")
    assert found["scale-to-zero-pod-retention-period"] == "60s"


def test_an_initial_scale_is_only_told_where_it_is_given() -> None:
    assert "initial-scale" not in told()
    assert told(scale={"initial": 3})["initial-scale"] == "3"


def test_a_revision_that_replaces_another_starts_without_an_instance() -> None:
    found = told(scale={"min": 2}, deploy={"rollout": "recreate"})

    assert (found["initial-scale"], found["min-scale"]) == ("0", "0")


@pytest.mark.parametrize(
    "scale",
    [
        {"window": "5s"},
        {"window": "61m"},
        {"delay": "61m"},
        {"retention": "61m"},
        {"target": 0.001},
        {"max": 2**31},
        {"initial": 2**31},
    ],
    ids=str,
)
def test_what_knative_does_not_take_is_refused_by_its_key(scale: dict[str, Any]) -> None:
    (found,) = scaling.problems(release(scale=scale).function)

    assert found.startswith(f"scale.{next(iter(scale))}: ")
