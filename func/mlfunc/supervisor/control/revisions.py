"""What a revision says of itself, and whether anybody reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mlfunc.knative import diagnosis, names, traffic
from mlfunc.supervisor.control import conditions, pods
from mlfunc.supervisor.control.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.supervisor.control.scaling import Scale
    from mlfunc.supervisor.parts import Instance

Object = dict[str, Any]
Reachability = Literal["Reachable", "Unreachable", ""]

ROUTING_STATE = "serving.knative.dev/routingState"
_STATES: dict[Reachability, str] = {"Reachable": "active", "": "pending", "Unreachable": "reserve"}


def reached(service: Object) -> frozenset[str]:
    """The revisions that requests are, or shall be, routed to."""
    asked = service["spec"].get("traffic") or ()
    named = {each.get("revisionName") for each in asked} - {None}
    return frozenset(named | {each.revision for each in traffic.shares(service)})


def reachability(revision: Object, service: Object, newest: str) -> Reachability:
    """Whether requests are routed to it; the newest may get there yet, unless it is given up."""
    name = revision["metadata"]["name"]
    if name in reached(service):
        return "Reachable"
    late = diagnosis.condition(revision, "ResourcesAvailable").get("status") == "False"
    awaited = name == newest and not traffic.is_ready(revision) and not late
    return "" if awaited else "Unreachable"


def is_abandoned(revision: Object, service: Object, newest: str) -> bool:
    """Whether it was never ready, and another has come: nobody waits for it any more."""
    name = revision["metadata"]["name"]
    return name != newest and name not in reached(service) and not traffic.is_ready(revision)


def labelled(revision: Object, reach: Reachability) -> Object:
    """With the label by which Knative says who is routed to."""
    meta = revision["metadata"]
    labels = {**(meta.get("labels") or {}), ROUTING_STATE: _STATES[reach]}
    return {**revision, "metadata": {**meta, "labels": labels}}


def superseded(revision: Object, now: float) -> Object:
    """What one says that is abandoned: why it failed, if it has."""
    told = revision.get("status", {})
    if diagnosis.condition(revision, "Ready").get("status") == "False":
        return {**told, "actualReplicas": 0, "desiredReplicas": 0}
    message = "Another revision has come before it was ready."
    found = Condition("ResourcesAvailable", "False", "Superseded", message)
    conditions_ = [found, conditions.summed([found])]
    return {
        **told,
        "actualReplicas": 0,
        "desiredReplicas": 0,
        "conditions": conditions.written(conditions_, told.get("conditions"), now),
    }


def status(
    revision: Object,
    scale: Scale,
    instances: Sequence[Instance],
    active: Condition,
    now: float,
) -> Object:
    """As Knative writes it; one that was ready once stays so."""
    image = revision["spec"]["containers"][0].get("image", "")
    found = _health(scale, instances)
    told = [*found, active, conditions.summed(found)]
    return {
        "observedGeneration": revision["metadata"]["generation"],
        "actualReplicas": scale.ready,
        "desiredReplicas": scale.wanted,
        "containerStatuses": [{"name": names.CONTAINER, "imageDigest": image}],
        "conditions": conditions.written(told, revision.get("status", {}).get("conditions"), now),
    }


def _health(scale: Scale, instances: Sequence[Instance]) -> list[Condition]:
    """That a process has failed says more than that it was not ready in time."""
    if scale.initialized:
        return [Condition("ContainerHealthy", "True"), Condition("ResourcesAvailable", "True")]
    resources = Condition("ResourcesAvailable", "Unknown", "Deploying")
    if scale.late:
        message = "Initial scale was never achieved"
        resources = Condition("ResourcesAvailable", "False", "ProgressDeadlineExceeded", message)
    return [_container(instances), resources]


def _container(instances: Sequence[Instance]) -> Condition:
    for each in instances:
        if ended := pods.termination(each):
            words = each.failure if each.out_of_memory else ended["message"]
            said = words or "container exited with no error"
            message = f"Container failed with: {said}"
            return Condition("ContainerHealthy", "False", f"ExitCode{ended['exitCode']}", message)
    return Condition("ContainerHealthy", "Unknown", "Deploying")
