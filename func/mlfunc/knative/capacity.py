"""Whether a cluster has a node for a function: its accelerator, its memory, its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc import accelerators
from mlfunc.function import Accelerator
from mlfunc.knative import names, nodes, quantities
from mlfunc.knative.facts import Finding
from mlfunc.knative.nodes import Demand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlfunc.function import Function
    from mlfunc.knative.facts import Facts

Object = dict[str, Any]

# What the queue-proxy beside each function asks for, unless the cluster says otherwise.
_PROXY_CPU = 0.025
# As NVIDIA's feature discovery writes it: newer ones whole, all of them its first part.
_DRIVER = "nvidia.com/cuda.driver-version.full"
_DRIVER_MAJOR = "nvidia.com/cuda.driver.major"
_SHOWN = 3


def examine(function: Function, facts: Facts) -> Iterator[Finding]:
    """What the nodes cannot give, and how much of the accelerator is free."""
    found = facts.nodes
    if found is None:
        return
    lacking = [*_without_architecture(function, found), *_too_small(function, found)]
    for message, fix in lacking:
        if facts.adds_nodes:
            yield Finding("note", f"{message}; it waits for one to be added", fix)
        else:
            yield Finding("refusal", message, fix)
    if not lacking:
        yield from _mixed(function, found)
        yield from _free(function, facts, found)
        yield from _room(function, facts, found)


def selector(function: Function) -> dict[str, str]:
    """The labels of the nodes that it may run on."""
    row = accelerators.TABLE[function.accelerator_type]
    wanted = function.accelerator
    product = wanted.product if isinstance(wanted, Accelerator) else None
    own = {row.product_label: product} if product and row.product_label else {}
    return {**own, **function.placement.node_selector}


def devices(function: Function) -> tuple[str, int] | None:
    """The extended resource that it asks for, and how many."""
    resource = accelerators.TABLE[function.accelerator_type].resource
    wanted = function.accelerator
    count = wanted.count if isinstance(wanted, Accelerator) else 1
    return (resource, count) if resource else None


def amounts(function: Function) -> dict[str, float]:
    """What one instance asks for, with the queue-proxy beside it."""
    own, extra = function.resources, devices(function)
    found = {
        "cpu": quantities.parse(own.cpu) + _PROXY_CPU,
        "memory": quantities.parse(own.memory),
    }
    return {**found, **({extra[0]: float(extra[1])} if extra else {})}


def _demand(function: Function) -> Demand:
    """That a node is for those who ask for its accelerator, the cluster may tolerate by itself
    (admission plugin ExtendedResourceToleration).
    """
    own, extra = function.placement.tolerations, devices(function)
    tolerations: list[Object] = [
        {"key": each.key, "operator": each.operator, "value": each.value, "effect": each.effect}
        for each in own
    ]
    if extra:
        tolerations.append({"key": extra[0], "operator": "Exists"})
    return Demand(amounts(function), selector(function), tolerations)


def _without_architecture(function: Function, found: Sequence[Object]) -> Iterator[tuple[str, str]]:
    wanted = function.build.platform.partition("/")[2]
    there = sorted({nodes.architecture(each) for each in found} - {""})
    if there and wanted not in there:
        message = f"the image is for {wanted}, and no node is: they are {', '.join(there)}"
        yield message, f"set `build.platform: linux/{there[0]}` in mlfunc.yaml"


def _mixed(function: Function, found: Sequence[Object]) -> Iterator[Finding]:
    """Kubernetes does not choose nodes by what an image is for."""
    wanted = function.build.platform.partition("/")[2]
    there = {nodes.architecture(each) for each in found} - {""}
    if len(there) > 1 and nodes.ARCHITECTURE not in selector(function):
        message = f"the image is for {wanted}, and there are nodes of {', '.join(sorted(there))}"
        fix = f"`placement: {{nodeSelector: {{{nodes.ARCHITECTURE}: {wanted}}}}}` in mlfunc.yaml"
        yield Finding("note", message, fix)


def _too_small(function: Function, found: Sequence[Object]) -> Iterator[tuple[str, str]]:
    """The first reason for which no node can take it, were it empty."""
    demand, extra = _demand(function), devices(function)
    if any(nodes.can_take(each, demand) for each in found):
        return
    if extra and not any(nodes.allocatable(each).get(extra[0]) for each in found):
        fix = "install the device plugin of the accelerator, add such a node, or take another"
        yield f"no node has {extra[0]}; {_inventory(found)}", fix
        return
    message = (
        f"no node can take an instance ({nodes.asked(demand)}): {nodes.reasons(found, demand)}"
    )
    yield message, "change `resources`, `accelerator` or `placement` in mlfunc.yaml, or add a node"


def _inventory(found: Sequence[Object]) -> str:
    """`nodes have: cpu 2, memory 8Gi`: for each resource that of the largest."""
    largest: dict[str, float] = {}
    for node in found:
        for resource, amount in nodes.allocatable(node).items():
            largest[resource] = max(amount, largest.get(resource, 0))
    shown = {k: v for k, v in largest.items() if v and (k in ("cpu", "memory") or "/" in k)}
    return "nodes have: " + (
        ", ".join(quantities.named(*each) for each in shown.items()) or "nothing"
    )


def _free(function: Function, facts: Facts, found: Sequence[Object]) -> Iterator[Finding]:
    if facts.pods is not None:
        able = [each for each in found if nodes.can_take(each, _demand(function))]
        yield from free_of(function, able, facts.pods, facts.namespace)


def _room(function: Function, facts: Facts, found: Sequence[Object]) -> Iterator[Finding]:
    """Whether one more instance has room now. A new revision starts beside the old one, which goes
    when it is idle: on a small cluster the one waits for the other.
    """
    pods = facts.pods
    recreates = function.deploy.rollout == "recreate"
    if pods is None or facts.adds_nodes or recreates or devices(function):
        return
    demand = _demand(function)
    able = [each for each in found if nodes.can_take(each, demand)]
    if any(nodes.has_room(each, pods, demand) for each in able):
        return
    own = {"namespace": facts.namespace, "name": function.name}
    ours = [pod for node in able for pod in nodes.on(node, pods) if _owner(pod) == own]
    until = "the old revision has gone, which goes when it is idle" if ours else "others have gone"
    message = f"no node has room for one more instance now ({nodes.asked(demand)}): it waits until"
    recreate = ", or `deploy: {rollout: recreate}`, which has the old one go first" if ours else ""
    fix = f"lower `resources` in mlfunc.yaml{recreate}, or add a node"
    yield Finding("note", f"{message} {until}", fix)


def free_of(
    function: Function, able: Sequence[Object], pods: Sequence[Object], namespace: str
) -> Iterator[Finding]:
    """How many accelerators these nodes have, each of them enough, and whether they are free now.
    `pods` are those of all namespaces.
    """
    extra = devices(function)
    if extra is None:
        return
    resource, count = extra
    free = {each["metadata"]["name"]: nodes.free(each, pods, resource) for each in able}
    has = sum(nodes.allocatable(each)[resource] for each in able)
    told = f"{sum(free.values()):g} of {has:g} {resource} are free{_products(function, able)}"
    if max(free.values()) >= count:
        yield Finding("note", told)
        return
    holders = [pod for node in able for pod in nodes.holders(node, pods, resource)]
    held = ", ".join(_name(pod) for pod in holders[:_SHOWN])
    message = f"{told}, it waits for {count} on one node; what holds them: {held}"
    yield Finding("note", message, _way_out(function, holders, namespace))


def _way_out(function: Function, holders: Sequence[Object], namespace: str) -> str:
    own = {"namespace": namespace, "name": function.name}
    if function.deploy.rollout == "rolling" and any(_owner(pod) == own for pod in holders):
        return "`deploy: {rollout: recreate}` has the old revision let go of it first"
    return "stop what needs it no more, or add a node"


def _owner(pod: Object) -> Mapping[str, str]:
    labels = pod["metadata"].get("labels") or {}
    return {"namespace": pod["metadata"]["namespace"], "name": labels.get(names.SERVICE, "")}


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _products(function: Function, able: Sequence[Object]) -> str:
    """` (NVIDIA-L4, driver 550.54)`, where nodes tell."""
    label = accelerators.TABLE[function.accelerator_type].product_label or ""
    products = _values(able, label)
    drivers = _values(able, _DRIVER) or _values(able, _DRIVER_MAJOR)
    told = [*products, *(f"driver {each}" for each in drivers)]
    return f" ({', '.join(told)})" if told else ""


def _values(able: Sequence[Object], label: str) -> list[str]:
    """Those of a label, each once."""
    labels = [each["metadata"].get("labels") or {} for each in able]
    return sorted({each[label] for each in labels if label in each})
