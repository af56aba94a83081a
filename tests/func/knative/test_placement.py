"""Nodes: by the accelerator's product, and by what the user says."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import placement

from tests.func.knative.functions import release


def test_nothing_is_said_where_nothing_is_asked_for() -> None:
    """The features are off by default, and an accelerator's own taint is tolerated by a plugin."""
    assert placement.of(release(accelerator="nvidia").function) == {}


def test_a_product_is_a_label_and_what_the_user_says_wins() -> None:
    product = {"type": "nvidia", "product": "NVIDIA-L4"}
    own = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L40S", "zone": "a"}}

    assert placement.of(release(accelerator=product).function) == {
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}
    }
    assert placement.of(release(accelerator=product, placement=own).function) == own


def test_a_toleration_is_as_kubernetes_writes_it() -> None:
    given = {
        "key": "gpu",
        "operator": "Equal",
        "value": "a",
        "effect": "NoExecute",
        "tolerationSeconds": 0,
    }
    tolerations = [given, {"operator": "Exists"}]

    assert placement.of(release(placement={"tolerations": tolerations}).function) == {
        "tolerations": tolerations
    }


@pytest.mark.parametrize(
    "toleration",
    [
        {},
        {"value": "a"},
        {"key": "a b"},
        {"key": "a", "value": "b c"},
        {"key": "a", "operator": "Exists", "value": "b"},
        {"key": "a", "tolerationSeconds": 1},
        {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1},
    ],
    ids=str,
)
def test_a_toleration_that_kubernetes_does_not_take_is_refused(toleration: dict[str, Any]) -> None:
    (found,) = placement.problems(release(placement={"tolerations": [toleration]}).function)

    assert found.startswith("placement.tolerations[0]: ")


def test_a_label_that_no_node_can_have_is_refused_by_its_key() -> None:
    product = {"type": "nvidia", "product": "NVIDIA L4"}
    given = release(accelerator=product, placement={"nodeSelector": {"a": "b c"}})

    found = list(placement.problems(given.function))

    assert [each.partition(": ")[0] for each in found] == [
        "accelerator.product",
        "placement.nodeSelector.a",
    ]
