"""The container of a revision: image, variables, probes, and what it may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc import accelerators
from mlfunc.function import Accelerator, EnvSource
from mlfunc.knative import volumes

if TYPE_CHECKING:
    from mlfunc.function import Function
    from mlfunc.knative.release import Release

Object = dict[str, Any]
_PORT = 8080
# Of `predict` that holds the interpreter: liveness must outlast it.
_PATIENCE = 30


def of(release: Release) -> Object:
    """Without a name: Knative calls it user-container, and func asks for that."""
    return {
        "image": release.image,
        "ports": [{"containerPort": _PORT}],
        "env": _variables(release.function),
        "resources": _resources(release.function),
        "readinessProbe": {"httpGet": {"path": "/health/readiness"}, "periodSeconds": 1},
        "livenessProbe": {
            "httpGet": {"path": "/health/liveness"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": _PATIENCE // 10,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": volumes.mounts(release),
    }


def node_selector(function: Function) -> dict[str, str]:
    """The nodes that have the product which is asked for."""
    row = accelerators.TABLE[function.accelerator_type]
    wanted = function.accelerator
    product = wanted.product if isinstance(wanted, Accelerator) else None
    return {row.product_label: product} if product and row.product_label else {}


def _variables(function: Function) -> list[Object]:
    return [_variable(name, value) for name, value in function.env.items()]


def _variable(name: str, value: str | float | EnvSource) -> Object:
    if not isinstance(value, EnvSource):
        return {"name": name, "value": str(value)}
    if value.secret:
        return _from(name, "secretKeyRef", value.secret, value.key)
    return _from(name, "configMapKeyRef", str(value.config_map), value.key)


def _from(name: str, kind: str, source: str, key: str) -> Object:
    return {"name": name, "valueFrom": {kind: {"name": source, "key": key}}}


def _resources(function: Function) -> Object:
    own = function.resources
    reserved = {"cpu": str(own.cpu), "memory": str(own.memory), **_devices(function)}
    limits = {
        "cpu": str(own.limits.cpu or own.cpu),
        "memory": str(own.limits.memory or own.memory),
        **_devices(function),
    }
    return {"requests": reserved, "limits": limits}


def _devices(function: Function) -> dict[str, str]:
    resource = accelerators.TABLE[function.accelerator_type].resource
    wanted = function.accelerator
    count = wanted.count if isinstance(wanted, Accelerator) else 1
    return {resource: str(count)} if resource else {}
