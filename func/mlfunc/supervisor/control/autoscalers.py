"""The PodAutoscaler of a revision: what its scaling goes by, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.knative import names, overview, policies, rescaling
from mlfunc.supervisor.control import blueprints, conditions, configurations
from mlfunc.supervisor.control.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.knative.autoscaler import Policy
    from mlfunc.supervisor.control.revisions import Reachability
    from mlfunc.supervisor.control.scaling import Scale

Object = dict[str, Any]

_BUFFERED = "Requests to the target are being buffered as resources are provisioned."
_NO_TRAFFIC = "The target is not receiving traffic."


def policy(revision: Object, reach: Reachability, settings: Mapping[str, str]) -> Policy:
    """What it goes by; `settings` are those of all revisions.

    Raises:
        MlfuncError: an annotation is none of Knative's autoscaler.

    """
    try:
        found = rescaling.policy_of(revision, settings, reachable=reach != "Unreachable")
    except ValueError as error:
        message = f"{revision['metadata']['name']} cannot be scaled as it is told: {error}"
        hint = f"its annotations {names.AUTOSCALING}..., or ConfigMap config-autoscaler"
        raise MlfuncError(message, hint) from error
    return replace(found, progress=blueprints.progress(revision))


def counts_requests(revision: Object) -> bool:
    """Whether its measure is requests a second, instead of requests at once."""
    return policies.measure(overview.scaling(revision)) == "requests a second"


def active(scale: Scale) -> Condition:
    """Whether it has what answers."""
    if scale.phase == "active":
        return Condition("Active", "True", info=True)
    if scale.phase == "activating":
        return Condition("Active", "Unknown", "Queued", _BUFFERED, info=True)
    return Condition("Active", "False", "NoTraffic", _NO_TRAFFIC, info=True)


def manifest(
    revision: Object, reach: Reachability, scale: Scale, before: Object | None, now: float
) -> Object:
    """As Knative writes it."""
    meta = revision["metadata"]
    told = active(scale)
    found = [
        replace(told, info=False),
        replace(told, type="Ready", info=False),
        Condition("ScaleTargetInitialized", "True" if scale.initialized else "Unknown"),
    ]
    kept = (before or {}).get("status", {}).get("conditions")
    return {
        "apiVersion": kinds.AUTOSCALER.api_version,
        "kind": kinds.AUTOSCALER.name,
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {**(meta.get("labels") or {}), names.REVISION: meta["name"]},
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [configurations.owner(revision, kinds.REVISION)],
        },
        "spec": {
            "containerConcurrency": revision["spec"].get("containerConcurrency") or 0,
            "reachability": reach,
            "scaleTargetRef": _target(meta["name"]),
        },
        "status": {
            "desiredScale": scale.wanted,
            "actualScale": scale.ready,
            "conditions": conditions.written(found, kept, now),
        },
    }


def _target(name: str) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-deployment"}
