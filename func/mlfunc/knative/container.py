"""The container of a revision: image, variables, probes, and what it may use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlfunc.function import EnvSource, seconds
from mlfunc.knative import capacity, quantities, syntax, volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.function import Function
    from mlfunc.knative.release import Release

Object = dict[str, Any]
_PORT = 8080
_RESERVED = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
_LIVENESS_PERIOD = 10
# A library of some gigabytes, read from a slow disk, holds the interpreter for so long.
_PATIENCE = 60


def of(release: Release) -> Object:
    """Without a name: Knative calls it user-container, and func asks for that."""
    variables = _variables(release.function)
    return {
        "image": release.image,
        "ports": [{"containerPort": _PORT}],
        **({"env": variables} if variables else {}),
        "resources": _resources(release.function),
        **_probes(release.function),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": volumes.mounts(release),
    }


def problems(function: Function) -> Iterator[str]:
    """What is wrong with `env` and `resources`."""
    for name, value in function.env.items():
        if name in _RESERVED:
            yield f"env.{name}: Knative sets this variable itself"
        if isinstance(value, EnvSource):
            yield from _source_problems(f"env.{name}", value)
    own = function.resources
    for key, reserved, limit in (
        ("cpu", own.cpu, own.limits.cpu),
        ("memory", own.memory, own.limits.memory),
    ):
        if limit is not None and quantities.parse(limit) < quantities.parse(reserved):
            yield f"resources.limits.{key}: it is {limit}, less than the {reserved} of resources"


def _probes(function: Function) -> Object:
    """By HTTP, for the port listens before the model is loaded. No startupProbe: with one, Knative
    waits for the kubelet at each cold start.
    """
    patience = max(_PATIENCE, seconds(function.serve.timeout))
    return {
        "readinessProbe": {
            "httpGet": {"path": "/health/readiness"},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
        },
        # A prediction that holds the interpreter is late, not dead, until its time is over.
        "livenessProbe": {
            "httpGet": {"path": "/health/liveness"},
            "periodSeconds": _LIVENESS_PERIOD,
            "timeoutSeconds": 5,
            "failureThreshold": math.ceil(patience / _LIVENESS_PERIOD),
        },
    }


def _variables(function: Function) -> list[Object]:
    return [_variable(name, value) for name, value in function.env.items()]


def _variable(name: str, value: str | float | EnvSource) -> Object:
    if not isinstance(value, EnvSource):
        # Knative drops an empty one, and the variable stays.
        return {"name": name, "value": str(value)} if value != "" else {"name": name}
    if value.secret:
        return _from(name, "secretKeyRef", value.secret, value.key)
    return _from(name, "configMapKeyRef", str(value.config_map), value.key)


def _from(name: str, kind: str, source: str, key: str) -> Object:
    return {"name": name, "valueFrom": {kind: {"name": source, "key": key}}}


def _source_problems(at: str, source: EnvSource) -> Iterator[str]:
    name = source.secret or source.config_map or ""
    if not syntax.is_name(name):
        yield f"{at}: nothing in Kubernetes can be called {name}"
    if not syntax.is_data_key(source.key):
        yield f"{at}.key: neither a Secret nor a ConfigMap can have a key {source.key}"


def _resources(function: Function) -> Object:
    own, limits = function.resources, function.resources.limits
    return {
        "requests": _amounts(function, own.cpu, own.memory),
        "limits": _amounts(function, limits.cpu or own.cpu, limits.memory or own.memory),
    }


def _amounts(function: Function, cpu: str | float, memory: str | float) -> dict[str, str]:
    """With its accelerators, of which as many are reserved as it may use."""
    devices = capacity.devices(function)
    extra = {devices[0]: str(devices[1])} if devices else {}
    return {"cpu": str(cpu), "memory": str(memory), **extra}
