"""An instance as a pod: what a cluster would show of it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import names, quantities
from mlfunc.supervisor.control import conditions, configurations
from mlfunc.supervisor.control.conditions import Condition, timestamp

if TYPE_CHECKING:
    from mlfunc.supervisor.parts import Instance

Object = dict[str, Any]


_REVISION_UID = "serving.knative.dev/revisionUID"
_LEAVES = "deletionTimestamp"
_NODE = "nodeName"
_SIGNALLED = 128
_BACKOFF = "back-off restarting failed container"


@dataclass(frozen=True)
class Blocked(Exception):
    """Why no instance of a revision can be started, as a kubelet says it."""

    reason: str
    message: str


def pod(found: Object, instance: Instance, now: float) -> Object:
    """The pod of an instance, as that is now; it stays of the revision that it was made for."""
    meta = {key: value for key, value in found["metadata"].items() if key != _LEAVES}
    if instance.phase == "draining":
        meta[_LEAVES] = timestamp(instance.since)
    told = _pending(found, now) if instance.phase == "pending" else _status(found, instance, now)
    return {**found, "metadata": meta, "spec": _spec(found, instance), "status": told}


def blocked(revision: Object, why: Blocked, before: Object | None, now: float) -> Object:
    """A pod in place of the instances that cannot be started."""
    found = before or made(revision, blocked_name(revision["metadata"]["name"]))
    return {**found, "status": _blocked_status(found, why, now)}


def blocked_name(revision: str) -> str:
    """Of the pod that is there while no instance can be."""
    return configurations.child_name(revision, "-deployment-blocked")


def termination(instance: Instance) -> Object | None:
    """How its process ended the last time; None: none has ended yet."""
    if instance.exit_code is None and instance.phase != "backoff":
        return None
    code = _SIGNALLED if instance.exit_code is None else instance.exit_code
    return {
        "exitCode": code if code >= 0 else _SIGNALLED - code,
        "reason": "OOMKilled" if instance.out_of_memory else _reason(instance.exit_code),
        "message": instance.failure if instance.exit_code is None else last_words(instance),
        "startedAt": timestamp(instance.created),
        "finishedAt": timestamp(instance.since),
        "containerID": _container_id(instance, _ended(instance)),
    }


def _reason(code: int | None) -> str:
    """As a kubelet has it: None is a process that could not be started."""
    if code is None:
        return "StartError"
    return "Error" if code else "Completed"


def last_words(instance: Instance) -> str:
    """What it said when it failed, as the last line of its log."""
    if not instance.failure:
        return ""
    error, _, traceback = instance.failure.partition("\n")
    # How far one came that was killed, its log tells on a cluster.
    phase = instance.last_phase if instance.out_of_memory else "failed"
    told = {"message": error, "phase": phase, "error": error, "traceback": traceback}
    return json.dumps({key: value for key, value in told.items() if value}) + "\n"


def made(revision: Object, name: str) -> Object:
    """The pod of an instance that is to come."""
    meta = revision["metadata"]
    return {
        "apiVersion": kinds.POD.api_version,
        "kind": kinds.POD.name,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": _labels(revision),
            "annotations": meta.get("annotations") or {},
        },
        "spec": {
            _NODE: platform.node(),
            "containers": [_reserving(each) for each in revision["spec"]["containers"]],
            "terminationGracePeriodSeconds": revision["spec"].get("timeoutSeconds", 300),
        },
    }


def _reserving(container: Object) -> Object:
    """Nothing but devices is reserved on this machine, whatever it asks for."""
    own = container.get("resources") or {}
    asked = {key: value for key, value in (own.get("requests") or {}).items() if "/" in key}
    return {**container, "resources": {**own, "requests": asked}} if own else container


def _labels(revision: Object) -> Object:
    meta = revision["metadata"]
    own = {names.REVISION: meta["name"], _REVISION_UID: meta["uid"], "app": meta["name"]}
    return {**(meta.get("labels") or {}), **own}


def _spec(found: Object, instance: Instance) -> Object:
    """While it waits, it has no node."""
    spec = {key: value for key, value in found["spec"].items() if key != _NODE}
    return spec if instance.phase == "pending" else {**spec, _NODE: platform.node()}


def _pending(found: Object, now: float) -> Object:
    """What a scheduler says of a pod that waits for accelerators: nothing else is reserved here."""
    lacking = next((each for each in quantities.of_pod(found) if "/" in each), "")
    message = f"0/1 nodes are available: 1 Insufficient {lacking}."
    told = [Condition("PodScheduled", "False", "Unschedulable", message)]
    before = found.get("status", {}).get("conditions")
    return {"phase": "Pending", "conditions": conditions.written(told, before, now)}


def _status(found: Object, instance: Instance, now: float) -> Object:
    ready = instance.phase == "ready"
    started = timestamp(instance.created)
    return {
        "phase": "Running" if instance.pid or instance.restarts else "Pending",
        "startTime": started,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "conditions": _conditions(found, ready=ready, since=instance.since, now=now),
        "containerStatuses": [_container(found, instance)],
    }


def _conditions(found: Object, *, ready: bool, since: float, now: float) -> Any:
    before = found.get("status", {}).get("conditions")
    reason = "" if ready else "ContainersNotReady"
    message = "" if ready else f"containers with unready status: [{names.CONTAINER}]"
    status: conditions.Status = "True" if ready else "False"
    told = [
        Condition("PodScheduled", "True"),
        Condition("Initialized", "True"),
        Condition("ContainersReady", status, reason, message),
        Condition("Ready", status, reason, message),
    ]
    return conditions.written(told, before, since if before else now)


def _container(found: Object, instance: Instance) -> Object:
    ended = termination(instance)
    return {
        **_named(found),
        "ready": instance.phase == "ready",
        "started": instance.pid is not None,
        "restartCount": instance.restarts,
        "containerID": _container_id(instance, instance.restarts),
        "state": _state(instance, found),
        "lastState": {"terminated": ended} if ended else {},
    }


def _named(found: Object) -> Object:
    image = found["spec"]["containers"][0]["image"]
    return {"name": names.CONTAINER, "image": image, "imageID": image}


def _state(instance: Instance, found: Object) -> Object:
    if instance.phase == "backoff":
        return {"waiting": {"reason": "CrashLoopBackOff", "message": _BACKOFF}}
    if instance.pid is None:
        return {"waiting": {"reason": "ContainerCreating"}}
    return {"running": {"startedAt": _started(instance, found)}}


def _started(instance: Instance, found: Object) -> str:
    """When this start began: it was told of it as it did."""
    for told in found.get("status", {}).get("containerStatuses", ()):
        before: Object = told.get("state", {}).get("running")
        if before and told["containerID"] == _container_id(instance, instance.restarts):
            return str(before["startedAt"])
    return timestamp(instance.since if instance.restarts else instance.created)


def _ended(instance: Instance) -> int:
    """The number of the start that has ended last."""
    return instance.restarts if instance.phase == "backoff" else max(0, instance.restarts - 1)


def _container_id(instance: Instance, start: int) -> str:
    """Another one for each start."""
    return f"process://{instance.name}/{start}"


def _blocked_status(found: Object, why: Blocked, now: float) -> Object:
    waiting = {"reason": why.reason, "message": why.message}
    return {
        "phase": "Pending",
        "conditions": _conditions(found, ready=False, since=now, now=now),
        "containerStatuses": [
            {
                **_named(found),
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": waiting},
                "lastState": {},
            }
        ],
    }
