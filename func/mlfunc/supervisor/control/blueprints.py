"""A revision -> how its instances are started: its release, its variables, its bounds."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

from mlfunc import accelerators
from mlfunc.cluster import kinds
from mlfunc.knative import names, policies, quantities
from mlfunc.supervisor.control.configurations import CONFIGURATION
from mlfunc.supervisor.control.pods import Blocked
from mlfunc.supervisor.parts import Blueprint, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlfunc.cluster.kinds import Kind
    from mlfunc.function import AcceleratorType
    from mlfunc.supervisor.releases import Release

Object = dict[str, Any]

_TIMEOUT = 300
_PROGRESS = "600s"
_QUIET = 30  # of its grace, as Knative's queue-proxy keeps it for itself
_CPUS = "MLFUNC_CPUS"
_REFERENCES = {"secretKeyRef": kinds.SECRET, "configMapKeyRef": kinds.CONFIG_MAP}


def blueprint(
    revision: Object,
    release: Release,
    find: Callable[[Kind, str, str], Object | None],
) -> Blueprint:
    """How its instances are started now; `find` gets Secrets and ConfigMaps.

    Raises:
        Blocked: one of those is missing.

    """
    meta, spec = revision["metadata"], revision["spec"]
    grace = float(spec.get("timeoutSeconds") or _TIMEOUT)
    limits = _limits(spec["containers"][0])
    kind, count = _devices(limits)
    return Blueprint(
        revision=Key(meta["namespace"], meta["name"]),
        service=meta["labels"][names.SERVICE],
        argv=(release.python, "-m", "mlfunc_runtime"),
        folder=release.folder,
        env=_env(revision, release, find),
        concurrency=spec.get("containerConcurrency") or 0,
        timeout=timeout(revision),
        drain=max(1.0, grace - _QUIET),
        progress=progress(revision),
        memory=quantities.parse(limits["memory"]) if "memory" in limits else math.inf,
        accelerator=kind,
        devices=count,
    )


def progress(revision: Object) -> float:
    """Seconds that a start may take."""
    told = revision["metadata"].get("annotations") or {}
    return policies.seconds(told.get(names.PROGRESS_DEADLINE, _PROGRESS))


def timeout(revision: Object) -> float:
    """Seconds until a reply has begun."""
    spec = revision["spec"]
    return float(spec.get("responseStartTimeoutSeconds") or spec.get("timeoutSeconds") or _TIMEOUT)


def sources(revision: Object) -> frozenset[tuple[Kind, str]]:
    """The Secrets and ConfigMaps that its variables come from."""
    return frozenset((kind, ref["name"]) for kind, ref in _references(revision))


def missing_release(revision: Object) -> Blocked:
    """What a kubelet says of an image that is not there."""
    image = revision["spec"]["containers"][0].get("image", "")
    return Blocked("ErrImagePull", f'failed to pull image "{image}": not found')


def _env(
    revision: Object, release: Release, find: Callable[[Kind, str, str], Object | None]
) -> Mapping[str, str]:
    meta, container = revision["metadata"], revision["spec"]["containers"][0]
    variables = container.get("env") or ()
    given = (_value(each, meta["namespace"], find) for each in variables)
    return {
        **release.env,
        **_cpus(container),
        **dict(pair for pair in given if pair is not None),
        "K_SERVICE": meta["labels"][names.SERVICE],
        "K_CONFIGURATION": meta["labels"].get(CONFIGURATION, meta["labels"][names.SERVICE]),
        "K_REVISION": meta["name"],
    }


def _cpus(container: Object) -> Mapping[str, str]:
    """Its share of this machine, as a quota is one of a node: nothing else keeps it to that."""
    limits = _limits(container)
    return {_CPUS: f"{quantities.parse(limits['cpu']):g}"} if "cpu" in limits else {}


def _devices(limits: Mapping[str, Any]) -> tuple[AcceleratorType, int]:
    """The accelerators that an instance has for itself."""
    for kind, row in accelerators.TABLE.items():
        if row.resource and row.resource in limits:
            return kind, int(limits[row.resource])
    return "cpu", 0


def _limits(container: Object) -> Mapping[str, Any]:
    return (container.get("resources") or {}).get("limits") or {}


def _value(
    variable: Object, namespace: str, find: Callable[[Kind, str, str], Object | None]
) -> tuple[str, str] | None:
    source = variable.get("valueFrom")
    if not source:
        return variable["name"], variable.get("value", "")
    for field, kind in _REFERENCES.items():
        if field in source:
            found = _referred(kind, source[field], namespace, find)
            return None if found is None else (variable["name"], found)
    field = next(iter(source))
    message = f"{variable['name']}: {field} is nothing that there is on this machine"
    raise Blocked("CreateContainerConfigError", message)


def _referred(
    kind: Kind, ref: Object, namespace: str, find: Callable[[Kind, str, str], Object | None]
) -> str | None:
    """The value; None: it is not there, and need not be."""
    found = find(kind, namespace, ref["name"])
    value = None if found is None else _data(kind, found).get(ref["key"])
    if value is not None or ref.get("optional"):
        return value
    if found is None:
        message = f'{kind.name.lower()} "{ref["name"]}" not found'
    else:
        message = f"couldn't find key {ref['key']} in {kind.name} {namespace}/{ref['name']}"
    raise Blocked("CreateContainerConfigError", message)


def _data(kind: Kind, found: Object) -> Mapping[str, str]:
    """What it holds, as text; of a Secret, `stringData` counts before `data`."""
    if kind != kinds.SECRET:
        return found.get("data") or {}
    decoded = {
        # A variable is bytes, too: they go to the process as they are.
        key: base64.b64decode(value).decode(errors="surrogateescape")
        for key, value in (found.get("data") or {}).items()
    }
    return {**decoded, **(found.get("stringData") or {})}


def _references(revision: Object) -> Iterator[tuple[Kind, Object]]:
    for variable in revision["spec"]["containers"][0].get("env") or ():
        for field, ref in (variable.get("valueFrom") or {}).items():
            if field in _REFERENCES:
                yield _REFERENCES[field], ref
