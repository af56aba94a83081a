"""What a cluster has that nobody makes here: one node, any namespace, Knative and its settings."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from mlfunc import accelerators, devices
from mlfunc.cluster import kinds
from mlfunc.supervisor import machine

if TYPE_CHECKING:
    from mlfunc.supervisor.api.resources import Place
    from mlfunc.supervisor.state.objects import Objects

Object = dict[str, Any]

# Whose behaviour this is; commands ask for it.
KNATIVE = "1.21.0"
_KUBERNETES = "1.34"
_SERVING, _EVENTING = "knative-serving", "knative-eventing"
_CONTROLLERS = {(_SERVING, "controller"), (_EVENTING, "eventing-controller")}
_SETTINGS = frozenset(
    f"config-{each}" for each in ("autoscaler", "features", "defaults", "domain", "network")
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version() -> Object:
    """As the API server tells its own."""
    major, minor = _KUBERNETES.split(".")
    told = {"major": major, "minor": minor, "gitVersion": f"v{_KUBERNETES}.0+mlfunc"}
    return {**told, "platform": f"linux/{_architecture()}"}


def get(place: Place) -> Object | None:
    """One of them."""
    kind, namespace, name = place.at
    if kind == kinds.NAMESPACE:
        return _object(kind, "", name, status={"phase": "Active"})
    if kind == kinds.NODE and name == platform.node():
        return node()
    if kind == kinds.DEPLOYMENT and (namespace, name) in _CONTROLLERS:
        return _controller(namespace, name)
    if kind == kinds.CONFIG_MAP and namespace == _SERVING and name in _SETTINGS:
        return _object(kind, namespace, name, data={})
    return None


def listed(place: Place, objects: Objects) -> list[Object]:
    """Those of a kind that are nowhere else."""
    if place.kind == kinds.NODE:
        return [node()]
    if place.kind == kinds.DEPLOYMENT:
        found = sorted(each for each in _CONTROLLERS if place.namespace in (None, each[0]))
        return [_controller(namespace, name) for namespace, name in found]
    if place.kind == kinds.NAMESPACE:
        used = {each["metadata"]["namespace"] for each in objects.list(kinds.SERVICE)}
        named = sorted({"default", *used})
        return [_object(kinds.NAMESPACE, "", each, status={"phase": "Active"}) for each in named]
    return []


def node() -> Object:
    """This machine, which functions may use up."""
    name = platform.node()
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    has = _resources()
    return _object(
        kinds.NODE,
        "",
        name,
        labels={**own, "kubernetes.io/arch": _architecture()},
        spec={},
        status={
            "allocatable": has,
            "capacity": has,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"architecture": _architecture(), "operatingSystem": "linux"},
        },
    )


def _resources() -> dict[str, str]:
    return {
        "cpu": str(machine.cpus()),
        "memory": f"{machine.memory() // 1024}Ki",
        "pods": "1000",
        **_devices(),
    }


def _devices() -> dict[str, str]:
    """Of each accelerator that is here, how many."""
    counted = {row.resource: len(devices.found(kind)) for kind, row in accelerators.TABLE.items()}
    return {resource: str(count) for resource, count in counted.items() if resource and count}


def _controller(namespace: str, name: str) -> Object:
    labels = {"app.kubernetes.io/version": KNATIVE, "app.kubernetes.io/name": namespace}
    return _object(kinds.DEPLOYMENT, namespace, name, labels=labels, spec={}, status={})


def _object(
    kind: kinds.Kind, namespace: str, name: str, labels: dict[str, str] | None = None, **body: Any
) -> Object:
    meta: Object = {"name": name, "uid": f"{kind.plural}/{namespace}/{name}"}
    meta |= {"resourceVersion": "1", **({"namespace": namespace} if namespace else {})}
    meta |= {"labels": labels} if labels else {}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **body}


def _architecture() -> str:
    found = platform.machine()
    return _ARCHITECTURES.get(found, found)
