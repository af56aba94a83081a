"""The container: what it is told, what it may use, and when it counts as dead."""

from __future__ import annotations

import pytest
from mlfunc.knative import container

from tests.func.knative.functions import release


def test_a_variable_without_text_has_no_value() -> None:
    """Knative drops an empty one: what is applied would never be what is there."""
    assert container.of(release(env={"EMPTY": ""}))["env"] == [{"name": "EMPTY"}]


@pytest.mark.parametrize("name", ["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"])
def test_variables_of_knative_are_refused(name: str) -> None:
    assert list(container.problems(release(env={name: "1"}).function))


def test_a_name_that_no_secret_can_have_is_refused_by_its_key() -> None:
    wrong = {"A": {"secret": "My Secret", "key": "a b"}, "B": {"configMap": "good", "key": "..a"}}

    found = list(container.problems(release(env=wrong).function))

    assert [each.partition(":")[0] for each in found] == ["env.A", "env.A.key", "env.B.key"]


def test_limits_are_what_is_reserved_unless_they_are_given() -> None:
    found = container.of(release(resources={"cpu": 0.5, "limits": {"memory": "4Gi"}}))["resources"]

    assert found["requests"] == {"cpu": "0.5", "memory": "2Gi"}
    assert found["limits"] == {"cpu": "0.5", "memory": "4Gi"}


@pytest.mark.parametrize(
    ("limits", "key"),
    [({"cpu": "999m"}, "resources.limits.cpu"), ({"memory": "2G"}, "resources.limits.memory")],
)
def test_a_limit_below_what_is_reserved_is_refused(limits: dict[str, str], key: str) -> None:
    (found,) = container.problems(release(resources={"limits": limits}).function)

    assert found.startswith(key)


@pytest.mark.parametrize(
    ("accelerator", "resource", "count"),
    [
        ("nvidia", "nvidia.com/gpu", "1"),
        ({"type": "amd", "count": 4}, "amd.com/gpu", "4"),
        ("neuron", "aws.amazon.com/neuron", "1"),
        ("tpu", "google.com/tpu", "1"),
    ],
)
def test_accelerators_are_reserved_and_limited_alike(
    accelerator: object, resource: str, count: str
) -> None:
    found = container.of(release(accelerator=accelerator))["resources"]

    assert found["requests"][resource] == found["limits"][resource] == count


@pytest.mark.parametrize(("timeout", "patience"), [("1s", 60), ("60s", 60), ("9m", 540)])
def test_a_prediction_that_holds_the_interpreter_outlives_liveness(
    timeout: str, patience: int
) -> None:
    probe = container.of(release(serve={"timeout": timeout}))["livenessProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] == patience


def test_there_is_no_startup_probe() -> None:
    """With one, the activator waits for the kubelet at each cold start."""
    assert "startupProbe" not in container.of(release())
