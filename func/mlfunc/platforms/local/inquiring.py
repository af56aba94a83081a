"""Whether this machine can run a function: what of it means nothing here, or is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed
from mlfunc.function import EnvSource
from mlfunc.knative import references
from mlfunc.knative.facts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlfunc.cluster.client import Cluster
    from mlfunc.function import Function


def check(
    cluster: Cluster, function: Function, environ: Mapping[str, str] = os.environ
) -> tuple[Finding, ...]:
    """The notes on a function that can run here.

    Raises:
        ClusterFailed: it cannot, for the reasons that stand in the message.

    """
    found = (
        *_claims(function),
        *_cesql(function),
        *_variables(cluster, function, environ),
        *_volumes(function),
    )
    refusals = [each for each in found if each.severity == "refusal"]
    if refusals:
        message = "; ".join(each.message for each in refusals)
        fix = "; ".join(dict.fromkeys(each.fix for each in refusals))
        raise ClusterFailed(f"{function.name} cannot run on this machine: {message}", fix)
    return tuple(found)


def _claims(function: Function) -> Iterator[Finding]:
    for name, claim in references.claims(function).items():
        message = f"models.{name} lies on the claim {claim}, which only a cluster has"
        yield Finding("refusal", message, f"give models.{name} a path, or an address as hf://")


def _cesql(function: Function) -> Iterator[Finding]:
    for number, subscription in enumerate(function.events.subscriptions):
        if _has_cesql(subscription.filters):
            message = f"events.subscriptions[{number}] filters by CESQL, which only Knative reads"
            fix = "say it by exact, prefix, suffix, all, any and not; or deploy to a cluster"
            yield Finding("refusal", message, fix)


def _has_cesql(found: object) -> bool:
    """Whether a filter is one, or has one within."""
    if isinstance(found, dict):
        return "cesql" in found or any(map(_has_cesql, found.values()))
    return isinstance(found, list) and any(map(_has_cesql, found))


def _variables(
    cluster: Cluster, function: Function, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """What is in neither the store nor the environment of who deploys."""
    for name, source in function.env.items():
        if isinstance(source, EnvSource) and name not in environ and not _is_kept(cluster, source):
            message = f"env.{name} is {source.key} of {_title(source)}, which is not kept here"
            yield Finding("refusal", message, f"{name}=... mlfunc deploy keeps it")


def _is_kept(cluster: Cluster, source: EnvSource) -> bool:
    kind = kinds.SECRET if source.secret else kinds.CONFIG_MAP
    found = cluster.get(kind, source.secret or source.config_map or "") or {}
    return source.key in {**(found.get("data") or {}), **(found.get("stringData") or {})}


def _title(source: EnvSource) -> str:
    return f"secret {source.secret}" if source.secret else f"config map {source.config_map}"


def _volumes(function: Function) -> Iterator[Finding]:
    for number, volume in enumerate(function.volumes):
        message = f"volumes[{number}] is not mounted: {volume.path} is this machine's own folder"
        yield Finding("note", message)
