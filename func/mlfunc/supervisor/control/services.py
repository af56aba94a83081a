"""What a Service says of itself: by its revisions, and by who gets its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import diagnosis
from mlfunc.supervisor.control import conditions
from mlfunc.supervisor.control.conditions import Condition

if TYPE_CHECKING:
    from mlfunc.supervisor.control.routes import Resolved

Object = dict[str, Any]


def status(
    service: Object, configuration: Object, outcome: Resolved, url: str, reached: str, now: float
) -> Object:
    """As Knative writes it; `reached`: by programs, where `url` is for browsers."""
    made = configuration["status"]
    found = [_configurations(configuration), _routes(outcome)]
    ready = conditions.summed(found)
    before = service.get("status", {}).get("conditions")
    latest = ("latestCreatedRevisionName", "latestReadyRevisionName")
    return {
        "observedGeneration": service["metadata"]["generation"],
        **{key: made[key] for key in latest if key in made},
        "url": url,
        "address": {"url": reached},
        "traffic": list(outcome.traffic),
        "conditions": conditions.written([*found, ready], before, now),
    }


def _configurations(configuration: Object) -> Condition:
    told = diagnosis.condition(configuration, "Ready")
    return Condition(
        "ConfigurationsReady", told["status"], told.get("reason", ""), told.get("message", "")
    )


def _routes(outcome: Resolved) -> Condition:
    told = outcome.condition
    return Condition("RoutesReady", told.status, told.reason, told.message)
