"""A Service -> its revisions: one for each template that it has had.

As in Knative, a Configuration stands between them: its generation counts templates, where that of
a Service counts what is routed otherwise, too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import diagnosis, names, traffic
from mlfunc.supervisor.control import conditions
from mlfunc.supervisor.control.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]

_PREFIX = "serving.knative.dev/"
CONFIGURATION = _PREFIX + "configuration"
_CONFIGURATION_UID = _PREFIX + "configurationUID"
_GENERATION = _PREFIX + "configurationGeneration"
_KEPT = 20  # that nobody reaches
_LONGEST, _DIGEST = 63, 32


@dataclass(frozen=True)
class Newest:
    """The revision that a Service asks for: by its name, and as it is made, unless it is there.

    `conflict`: why it can be neither.
    """

    name: str
    make: Object | None = None
    conflict: str = ""


def wanted(service: Object, before: Object | None) -> Object:
    """The Configuration of a Service."""
    meta = service["metadata"]
    labels = {
        **(meta.get("labels") or {}),
        names.SERVICE: meta["name"],
        names.SERVICE_UID: meta["uid"],
    }
    return {
        "apiVersion": kinds.CONFIGURATION.api_version,
        "kind": kinds.CONFIGURATION.name,
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [owner(service, kinds.SERVICE)],
        },
        "spec": {"template": service["spec"]["template"]},
        "status": (before or {}).get("status", {}),
    }


def newest(configuration: Object, revisions: Sequence[Object]) -> Newest:
    """The revision of its template; of the names that are taken, none is taken again."""
    name = _name(configuration)
    there = next((each for each in revisions if each["metadata"]["name"] == name), None)
    if there is None:
        return Newest(name, _revision(configuration, name))
    if _is_of(there, configuration):
        return Newest(name)
    return Newest(name, conflict=f'revisions.serving.knative.dev "{name}" already exists')


def owner(found: Object, kind: Kind) -> Object:
    """By which something goes with it."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def status(
    configuration: Object, chosen: Newest, revisions: Sequence[Object], now: float
) -> Object:
    """What it says of itself: which revision it has made last, and which one was ready last."""
    before = configuration.get("status", {})
    made = before.get("latestCreatedRevisionName") if chosen.conflict else chosen.name
    told = _condition(chosen, revisions)
    given = {
        "observedGeneration": configuration["metadata"]["generation"],
        "latestCreatedRevisionName": made,
        "latestReadyRevisionName": latest_ready(configuration, revisions),
        "conditions": conditions.written([told], before.get("conditions"), now),
    }
    return {key: value for key, value in given.items() if value is not None}


def latest_ready(configuration: Object, revisions: Sequence[Object]) -> str | None:
    """The newest of its revisions that is ready."""
    own = [each for each in revisions if not _is_foreign(each, configuration)]
    ready = [each for each in sorted(own, key=traffic.age) if traffic.is_ready(each)]
    return ready[-1]["metadata"]["name"] if ready else None


def superfluous(revisions: Sequence[Object], newest: str, reached: Collection[str]) -> list[Object]:
    """The revisions that are kept no longer: of those that nobody reaches, all but the newest."""
    idle = [
        each
        for each in sorted(revisions, key=traffic.age)
        if each["metadata"]["name"] not in (newest, *reached)
    ]
    return idle[:-_KEPT]


def child_name(parent: str, suffix: str) -> str:
    """A name that is not too long, as Knative shortens it."""
    if len(parent) + len(suffix) <= _LONGEST:
        return parent + suffix
    digest = hashlib.md5(parent.encode(), usedforsecurity=False).hexdigest()
    return parent[: _LONGEST - _DIGEST - len(suffix)] + digest + suffix


def _name(configuration: Object) -> str:
    meta = configuration["metadata"]
    given = (configuration["spec"]["template"].get("metadata") or {}).get("name")
    return str(given or child_name(meta["name"], f"-{meta['generation']:05d}"))


def _revision(configuration: Object, name: str) -> Object:
    meta, template = configuration["metadata"], configuration["spec"]["template"]
    told = template.get("metadata") or {}
    return {
        "apiVersion": kinds.REVISION.api_version,
        "kind": kinds.REVISION.name,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {**(told.get("labels") or {}), **_labels(configuration)},
            "annotations": told.get("annotations") or {},
            "ownerReferences": [owner(configuration, kinds.CONFIGURATION)],
        },
        "spec": _spec(template["spec"]),
    }


def _labels(configuration: Object) -> Mapping[str, str]:
    meta = configuration["metadata"]
    return {
        names.SERVICE: meta["labels"][names.SERVICE],
        names.SERVICE_UID: meta["labels"][names.SERVICE_UID],
        CONFIGURATION: meta["name"],
        _CONFIGURATION_UID: meta["uid"],
        _GENERATION: str(meta["generation"]),
    }


def _spec(spec: Object) -> Object:
    """With the name that a container has, if none is given."""
    first, *others = spec["containers"]
    return {**spec, "containers": [{"name": names.CONTAINER, **first}, *others]}


def _is_foreign(revision: Object, configuration: Object) -> bool:
    labels = revision["metadata"].get("labels") or {}
    return bool(labels.get(_CONFIGURATION_UID) != configuration["metadata"]["uid"])


def _is_of(revision: Object, configuration: Object) -> bool:
    """Whether it was made of this very template."""
    generation = (revision["metadata"].get("labels") or {}).get(_GENERATION)
    this = generation == str(configuration["metadata"]["generation"])
    return this and not _is_foreign(revision, configuration)


def _condition(chosen: Newest, revisions: Sequence[Object]) -> Condition:
    if chosen.conflict:
        message = f"Revision creation failed with message: {chosen.conflict}."
        return Condition("Ready", "False", "RevisionFailed", message)
    revision = next((each for each in revisions if each["metadata"]["name"] == chosen.name), {})
    ready = diagnosis.condition(revision, "Ready")
    if ready.get("status") == "True":
        return Condition("Ready", "True")
    if ready.get("status") == "False":
        message = f'Revision "{chosen.name}" failed with message: {ready.get("message", "")}.'
        return Condition("Ready", "False", "RevisionFailed", message)
    return Condition("Ready", "Unknown")
