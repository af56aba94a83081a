from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import nodes
from mlfunc.knative.nodes import Demand

GPU = "nvidia.com/gpu"


def node(name: str = "node-1", taints: Any = (), labels: Any = None, **has: str) -> dict[str, Any]:
    allocatable = {
        "cpu": "4",
        "memory": "8Gi",
        **{k.replace("gpu", GPU): v for k, v in has.items()},
    }
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": allocatable},
    }


def pod(name: str = "pod", on: str = "node-1", phase: str = "Running", **asks: str) -> Any:
    requests = {key.replace("gpu", GPU): value for key, value in asks.items()}
    return {
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("demand", "obstacles"),
    [
        (Demand({"cpu": 4}), []),
        (Demand({"cpu": 5, GPU: 1}), ["it has cpu 4", f"it has no {GPU}"]),
        (Demand({}, {"zone": "b"}), ["its label zone is a"]),
        (Demand({}, {"disk": "ssd"}), ["it has no label disk"]),
    ],
)
def test_a_node_says_why_it_cannot_take_a_pod(demand: Demand, obstacles: list[str]) -> None:
    assert list(nodes.obstacles(node(labels={"zone": "a"}), demand)) == obstacles


@pytest.mark.parametrize(
    ("toleration", "takes"),
    [
        ({"key": "team", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "team", "operator": "Equal", "value": "ml"}, True),
        ({"key": "team", "value": "ml", "effect": "NoSchedule"}, True),
        ({"key": "team", "value": "ml", "effect": "NoExecute"}, False),
        ({"key": "team", "value": "web"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_taint_keeps_off_who_does_not_tolerate_it(
    toleration: dict[str, str], takes: bool
) -> None:
    tainted = node(taints=[{"key": "team", "value": "ml", "effect": "NoSchedule"}])

    assert not nodes.can_take(tainted, Demand({}))
    assert nodes.can_take(tainted, Demand({}, tolerations=[toleration])) is takes


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "team", "effect": "PreferNoSchedule"},
    ],
)
def test_a_taint_that_passes_or_only_asks_keeps_nobody_off_for_good(taint: Any) -> None:
    assert nodes.can_take(node(taints=[taint]), Demand({}))


def test_what_is_free_is_what_the_pods_of_the_node_leave() -> None:
    pods = [
        pod(gpu="1"),
        pod(gpu="2", on="another"),
        pod(gpu="1", phase="Succeeded"),
        pod(cpu="1"),
    ]

    assert nodes.free(node(gpu="4"), pods, GPU) == 3
    assert nodes.holders(node(gpu="4"), pods, GPU) == pods[:1]


def test_of_many_nodes_the_first_few_say_why() -> None:
    told = nodes.reasons([node(f"n{i}") for i in range(9)], Demand({"cpu": 8}))

    assert told == "n0: it has cpu 4; n1: it has cpu 4; n2: it has cpu 4; and 6 more"
    assert nodes.reasons([], Demand({})) == "there are no nodes"
