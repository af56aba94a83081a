"""Why a pod has no node yet, and whether it can get one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlfunc.knative import nodes, quantities
from mlfunc.knative.progress import Failure, Progress
from mlfunc.knative.sentences import brief

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.knative.progress import Snapshot

Object = dict[str, Any]

# Events of what adds nodes: the cluster autoscaler, and Karpenter.
_GROWS = ("TriggeredScaleUp", "Nominated")
_CANNOT_GROW = "NotTriggerScaleUp"
_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')


def waits(pod: Object, snapshot: Snapshot, events: Sequence[Object]) -> Progress | None:
    """How it waits for a node; None if it has one. `events` are the pod's own."""
    if pod["spec"].get("nodeName"):
        return None
    message = brief(_told(pod)).rstrip(". ")
    grows = [each for each in events if each["reason"] in _GROWS]
    if grows:
        return Progress("scheduling", f"a node is being added; {message}")
    failure = _impossible(pod, snapshot, events, message)
    held = _held(pod, snapshot.older, message)
    return Progress("scheduling", "; ".join(filter(None, (message, held))), failure=failure)


def _told(pod: Object) -> str:
    """What the scheduler says, once it has tried."""
    conditions: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    found = (each for each in conditions if each["type"] == "PodScheduled")
    return next((each.get("message", "") for each in found), "")


def _impossible(
    pod: Object, snapshot: Snapshot, events: Sequence[Object], message: str
) -> Failure | None:
    """Not what is taken now: that gets free; nor what a new node may have."""
    if missing := _NO_CLAIM.search(message):
        hint = "create it, or name another in mlfunc.yaml: kubectl get pvc"
        return Failure(f"there is no PersistentVolumeClaim {missing[1]}", hint)
    refused = any(each["reason"] == _CANNOT_GROW for each in events)
    if not message or snapshot.nodes is None or (snapshot.adds_nodes and not refused):
        return None
    demand = nodes.of_pod(pod)
    if any(nodes.can_take(each, demand) for each in snapshot.nodes):
        return None
    why = nodes.reasons(snapshot.nodes, demand)
    return Failure(
        f"no node can ever take it ({nodes.asked(demand)}): {why}",
        "change `resources`, `accelerator` or `placement` in mlfunc.yaml, or add a node",
    )


def _held(pod: Object, older: Sequence[Object], message: str) -> str:
    """Who of the function itself has what the pod waits for: an accelerator, or what is scarce."""
    asked = quantities.of_pod(pod)
    for resource in asked:
        if "/" not in resource and f"Insufficient {resource}" not in message:
            continue
        for other in older:
            if quantities.of_pod(other).get(resource):
                name = other["metadata"]["name"]
                return f"{name} of the old revision holds {resource} until it is idle"
    return ""
