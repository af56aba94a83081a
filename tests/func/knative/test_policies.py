"""Annotations and settings of the cluster as what the autoscaler goes by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import MlfuncError
from mlfunc.function import Batch, Deploy, Function, Scale, Serve
from mlfunc.knative import policies


@pytest.mark.parametrize(
    ("concurrency", "told", "target", "total"),
    [
        (12, {"target-utilization-percentage": "75"}, 9, 12),
        (10, {"target": "1", "target-utilization-percentage": "100"}, 1, 1),
        (1, {"target": "10", "target-utilization-percentage": "100"}, 1, 1),
        (0, {"target": "1", "target-utilization-percentage": "0.1"}, 0.01, 1),
        (0, {}, 70, 100),
    ],
)
def test_the_target_is_within_what_an_instance_takes(
    concurrency: int, told: dict[str, str], target: float, total: float
) -> None:
    found = policies.of(told, concurrency)

    assert found.target == pytest.approx(target)
    assert found.total == total


@pytest.mark.parametrize(("told", "share"), [("70", 0.7), ("0.8", 0.8), ("1", 1), ("100", 1)])
def test_the_utilization_of_a_cluster_may_be_a_fraction(told: str, share: float) -> None:
    settings = {"container-concurrency-target-percentage": told}

    assert policies.of({}, 0, settings).utilization == share


def test_a_revision_goes_before_the_cluster_and_the_cluster_before_knative() -> None:
    settings = {"stable-window": "1m30s", "scale-to-zero-grace-period": "40s", "max-scale": "7"}

    found = policies.of({"max-scale": "3"}, 0, settings)

    assert (found.maximum, found.window, found.grace, found.delay) == (3, 90, 40, 0)


def test_old_names_of_annotations_count() -> None:
    found = policies.of({"minScale": "2", "targetBurstCapacity": "-1"}, 0)

    assert (found.minimum, found.burst_capacity) == (2, -1)


def test_a_function_is_scaled_as_it_would_be_deployed() -> None:
    function = Function(
        name="f",
        serve=Serve(slots=2, batch=Batch(max_size=4), concurrency=16),
        scale=Scale(min=1, max=5, window="30s", delay="10s", retention="1m"),
    )

    found = policies.of_function(function)

    assert (found.total, found.minimum, found.maximum) == (8, 1, 5)
    assert (found.window, found.delay, found.retention) == (30, 10, 60)
    assert found.burst_capacity == -1


@pytest.mark.parametrize(
    ("told", "measure"),
    [
        ({"metric": "rps"}, "requests a second"),
        (
            {"class": "hpa.autoscaling.knative.dev", "metric": "cpu"},
            "cpu, which hpa.autoscaling.knative.dev counts",
        ),
    ],
)
def test_what_counts_otherwise_is_not_explained(told: dict[str, str], measure: str) -> None:
    with pytest.raises(MlfuncError, match=f"it is scaled by {measure}"):
        policies.check(told)


@pytest.mark.parametrize(
    ("told", "target", "total"), [({}, 140, 200), ({"target": "300"}, 210, 300)]
)
def test_a_rate_is_not_bound_by_what_an_instance_takes_at_once(
    told: dict[str, str], target: float, total: float
) -> None:
    found = policies.of({"metric": "rps", **told}, 12)

    assert found.target == pytest.approx(target)
    assert found.total == total


def test_a_function_that_is_recreated_has_its_min_in_the_end() -> None:
    function = Function(name="f", scale=Scale(min=1), deploy=Deploy(rollout="recreate"))

    assert policies.of_function(function).minimum == 1


@given(st.integers(0, 24), st.integers(0, 59), st.integers(0, 59))
def test_durations_are_read_as_go_writes_them(hours: int, minutes: int, seconds: int) -> None:
    told = f"{hours}h{minutes}m{seconds}s"

    assert policies.seconds(told) == hours * 3600 + minutes * 60 + seconds
