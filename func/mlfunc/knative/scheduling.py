"""Why a pod has no node yet, and whether it can get one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import quantities
from mlfunc.knative.progress import Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.knative.progress import Snapshot

Object = dict[str, Any]
# An event of the autoscaler of the cluster's nodes.
_GROWS = "TriggeredScaleUp"


def waits(pod: Object, snapshot: Snapshot) -> Progress | None:
    """How it waits for a node; None if it has one."""
    told = next(
        (
            each
            for each in pod.get("status", {}).get("conditions") or ()
            if each["type"] == "PodScheduled" and each["status"] == "False"
        ),
        None,
    )
    if told is None:
        return None if pod["spec"].get("nodeName") else Progress("scheduling")
    message = _brief(told.get("message", ""))
    if any(each["reason"] == _GROWS for each in snapshot.events):
        return Progress("scheduling", f"a node is being added; {message}")
    wanted = quantities.of_pod(pod)
    if snapshot.nodes is not None and not any(_fits(pod, wanted, n) for n in snapshot.nodes):
        return Progress("scheduling", message, failure=_impossible(wanted, message))
    return Progress("scheduling", message)


def _fits(pod: Object, wanted: dict[str, float], node: Object) -> bool:
    """Whether a node could take the pod, were it empty."""
    labels = node["metadata"].get("labels", {})
    selector = pod["spec"].get("nodeSelector", {})
    has = node["status"].get("allocatable", {})
    return all(labels.get(key) == value for key, value in selector.items()) and all(
        quantities.parse(has.get(resource, "0")) >= amount for resource, amount in wanted.items()
    )


def _impossible(wanted: dict[str, float], message: str) -> Failure:
    asked = ", ".join(f"{name} {quantities.shown(name, n)}" for name, n in wanted.items())
    return Failure(
        f"no node can ever take it ({asked}): {message}",
        "ask for less in `resources`, `accelerator` or `placement`, or add a node",
    )


def _brief(message: str) -> str:
    """Without what the scheduler says of preemption."""
    return message.partition(" no new claims")[0].partition(" preemption:")[0].rstrip(". ")


def free(nodes: Sequence[Object], pods: Sequence[Object], resource: str) -> int:
    """How much of an extended resource is free on all nodes together."""
    has = sum(
        quantities.parse(n["status"].get("allocatable", {}).get(resource, "0")) for n in nodes
    )
    taken = sum(
        quantities.of_pod(pod).get(resource, 0)
        for pod in pods
        if pod["spec"].get("nodeName") and pod["status"].get("phase") in ("Pending", "Running")
    )
    return int(has - taken)
