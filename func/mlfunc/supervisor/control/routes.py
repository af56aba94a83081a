"""Whose the requests of a Service are: `spec.traffic` and its revisions -> `status.traffic`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import diagnosis, names, traffic
from mlfunc.supervisor.control import conditions, configurations
from mlfunc.supervisor.control.conditions import Condition
from mlfunc.supervisor.gateway import routing
from mlfunc.supervisor.parts import Key, Route, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = dict[str, Any]
_ALL: Sequence[Object] = ({"latestRevision": True, "percent": 100},)
_TYPE = "AllTrafficAssigned"


@dataclass(frozen=True)
class Resolved:
    """The targets as they are from now on, and whether they are as they were asked for."""

    traffic: tuple[Object, ...]
    condition: Condition


def resolved(
    service: Object, configuration: Object, revisions: Sequence[Object], port: int
) -> Resolved:
    """Each target with its revision. Where one of them cannot answer, all stay as they were."""
    known = {each["metadata"]["name"]: each for each in revisions}
    asked: Sequence[Object] = service["spec"].get("traffic") or _ALL
    for each in asked:
        if trouble := _trouble(each, configuration, known):
            return Resolved(_standing(service, known), trouble)
    latest: str = configuration["status"].get("latestReadyRevisionName", "")
    targets = tuple(_target(each, service, latest, port) for each in asked)
    return Resolved(targets, Condition(_TYPE, "True"))


def route(service: Object) -> Route:
    """For the gateway, of what a Service's status says."""
    meta = service["metadata"]
    shares = traffic.shares(service)
    percents: dict[str, int] = {}
    for each in shares:
        percents[each.revision] = percents.get(each.revision, 0) + each.percent
    return Route(
        Key(meta["namespace"], meta["name"]),
        tuple(
            Target(Key(meta["namespace"], name), percent)
            for name, percent in percents.items()
            if percent
        ),
        {each.tag: Key(meta["namespace"], each.revision) for each in shares if each.tag},
    )


def address(service: Object, port: int, tag: str | None = None) -> str:
    """Where it, or one of its tags, is reached."""
    meta = service["metadata"]
    name = f"{tag}-{meta['name']}" if tag else meta["name"]
    return f"http://{name}.{meta['namespace']}.localhost:{port}"


def path_address(service: Object, gateway: str) -> str:
    """The same for programs that do not find names under localhost: most but curl and browsers."""
    meta = service["metadata"]
    inside = "" if meta["namespace"] == routing.NAMESPACE else f".{meta['namespace']}"
    return f"{gateway}/{meta['name']}{inside}"


def manifest(
    service: Object, before: Object | None, outcome: Resolved, url: str, reached: str, now: float
) -> Object:
    """The Route of a Service, which other tools look at."""
    meta, told = service["metadata"], (before or {}).get("status", {}).get("conditions")
    found = [outcome.condition, Condition("IngressReady", "True")]
    return {
        "apiVersion": kinds.ROUTE.api_version,
        "kind": kinds.ROUTE.name,
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {**(meta.get("labels") or {}), names.SERVICE: meta["name"]},
            "ownerReferences": [configurations.owner(service, kinds.SERVICE)],
        },
        "spec": {"traffic": list(_with_configuration(service))},
        "status": {
            "url": url,
            "address": {"url": reached},
            "traffic": list(outcome.traffic),
            "conditions": conditions.written([*found, conditions.summed(found)], told, now),
        },
    }


def _with_configuration(service: Object) -> Sequence[Object]:
    name = service["metadata"]["name"]
    asked: Sequence[Object] = service["spec"].get("traffic") or _ALL
    return [
        each if each.get("revisionName") else {**each, "configurationName": name} for each in asked
    ]


def _standing(service: Object, known: Mapping[str, Object]) -> tuple[Object, ...]:
    """The targets of before, as far as they are there."""
    targets: Sequence[Object] = service.get("status", {}).get("traffic") or ()
    return tuple(each for each in targets if each["revisionName"] in known)


def _trouble(
    target: Object, configuration: Object, known: Mapping[str, Object]
) -> Condition | None:
    name = target.get("revisionName")
    if not name:
        ready = configuration["status"].get("latestReadyRevisionName")
        return None if ready else _none_ready(configuration)
    if name not in known:
        message = f'Revision "{name}" referenced in traffic not found.'
        return Condition(_TYPE, "False", "RevisionMissing", message)
    ready = diagnosis.condition(known[name], "Ready").get("status")
    if ready == "False":
        message = f'Revision "{name}" failed to become ready.'
        return Condition(_TYPE, "False", "RevisionFailed", message)
    if ready != "True":
        message = f'Revision "{name}" is not yet ready.'
        return Condition(_TYPE, "Unknown", "RevisionMissing", message)
    return None


def _none_ready(configuration: Object) -> Condition:
    name = configuration["metadata"]["name"]
    if diagnosis.condition(configuration, "Ready").get("status") == "False":
        message = f'Configuration "{name}" does not have any ready Revision.'
        return Condition(_TYPE, "False", "RevisionMissing", message)
    message = f'Configuration "{name}" is waiting for a Revision to become ready.'
    return Condition(_TYPE, "Unknown", "RevisionMissing", message)


def _target(target: Object, service: Object, latest: str, port: int) -> Object:
    tag = target.get("tag")
    own = {"tag": tag, "url": address(service, port, tag)} if tag else {}
    return {
        "revisionName": target.get("revisionName") or latest,
        "latestRevision": not target.get("revisionName"),
        "percent": target.get("percent") or 0,
        **own,
    }
