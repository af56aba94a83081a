"""What nodes have, what is free there, and which of them could take a pod."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlfunc.knative import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Object = dict[str, Any]

ARCHITECTURE = "kubernetes.io/arch"
# Taints of Kubernetes itself come and go with the node's health, or when it is cordoned.
_PASSING = "node.kubernetes.io/"
_SHOWN = 3
_KEEPS_OFF = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Demand:
    """What a pod asks of a node; `amounts` are numbers of cores, bytes, devices."""

    amounts: Mapping[str, float]
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()


def asked(demand: Demand) -> str:
    """The amounts, for people."""
    return ", ".join(quantities.named(*each) for each in demand.amounts.items())


def of_pod(pod: Object) -> Demand:
    """What a pod that is there asks for."""
    spec = pod["spec"]
    return Demand(
        quantities.of_pod(pod), spec.get("nodeSelector") or {}, spec.get("tolerations") or ()
    )


def obstacles(node: Object, demand: Demand) -> Iterator[str]:
    """Why a node could not take it, were it empty."""
    labels, has = node["metadata"].get("labels") or {}, allocatable(node)
    for key, value in demand.selector.items():
        if labels.get(key) != value:
            yield f"its label {key} is {labels[key]}" if key in labels else f"it has no label {key}"
    for taint in node["spec"].get("taints") or ():
        if not _is_borne(taint, demand):
            yield f"it has the taint {taint['key']}"
    for resource, amount in demand.amounts.items():
        if has.get(resource, 0) < amount:
            yield f"it has {quantities.named(resource, has.get(resource, 0))}"


def reasons(found: Sequence[Object], demand: Demand) -> str:
    """Why none of them could, for the first few."""
    told = [
        f"{each['metadata']['name']}: {', '.join(obstacles(each, demand))}"
        for each in found[:_SHOWN]
    ]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join([*told, *more]) or "there are no nodes"


def can_take(node: Object, demand: Demand) -> bool:
    """Whether it could, were it empty."""
    return next(obstacles(node, demand), None) is None


def allocatable(node: Object) -> dict[str, float]:
    """What pods may have of a node."""
    found = node["status"].get("allocatable") or {}
    return {resource: quantities.parse(amount) for resource, amount in found.items()}


def free(node: Object, pods: Sequence[Object], resource: str) -> float:
    """What the pods of a node have left of a resource."""
    return allocatable(node).get(resource, 0) - sum(
        quantities.of_pod(pod).get(resource, 0) for pod in holders(node, pods, resource)
    )


def has_room(node: Object, pods: Sequence[Object], demand: Demand) -> bool:
    """Whether what its pods have left is enough."""
    return all(free(node, pods, each) >= amount for each, amount in demand.amounts.items())


def holders(node: Object, pods: Sequence[Object], resource: str) -> list[Object]:
    """The pods of a node that hold some of a resource."""
    return [pod for pod in on(node, pods) if quantities.of_pod(pod).get(resource)]


def on(node: Object, pods: Sequence[Object]) -> list[Object]:
    """The pods of a node that hold anything: those that ended do not."""
    return [
        pod
        for pod in pods
        if pod["spec"].get("nodeName") == node["metadata"]["name"]
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]


def architecture(node: Object) -> str:
    """As images call it: amd64, arm64."""
    told: str = node["status"].get("nodeInfo", {}).get("architecture", "")
    return told or (node["metadata"].get("labels") or {}).get(ARCHITECTURE, "")


def _is_borne(taint: Object, demand: Demand) -> bool:
    """Whether it lets the pod in, or will by itself."""
    if taint.get("effect") not in _KEEPS_OFF or taint["key"].startswith(_PASSING):
        return True
    return any(_tolerates(each, taint) for each in demand.tolerations)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same = toleration.get("key") == taint["key"]
    return same and (toleration.get("value") or "") == (taint.get("value") or "")
