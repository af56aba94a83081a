"""What Triggers, Brokers and PingSources say of themselves, in Knative's conditions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlfunc import cron
from mlfunc.supervisor.broker import subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.supervisor.broker.subscriptions import Destination

Object = dict[str, Any]


class Resolved(NamedTuple):
    """Where events go, else why they cannot."""

    uri: str
    problem: str = ""


NO_CESQL = (
    "its filters have an expression in CESQL, which the local platform does not evaluate: no event"
    " passes; say it with exact, prefix, suffix, all, any and not"
)


def trigger(found: Object, has_broker: bool, resolve: Callable[[Destination], Resolved]) -> Object:
    """A Trigger is ready when its events can go where they are to."""
    spec, namespace = found["spec"], found["metadata"]["namespace"]
    to = resolve(subscriptions.destination(spec.get("subscriber") or {}, namespace))
    sink = (spec.get("delivery") or {}).get("deadLetterSink")
    dead = resolve(subscriptions.destination(sink, namespace)) if sink else Resolved("")
    conditions = {
        "BrokerReady": "" if has_broker else f"there is no broker {spec.get('broker')}",
        "DeadLetterSinkResolved": dead.problem,
        "DependencyReady": "",
        "SubscriberResolved": to.problem,
        "SubscriptionReady": NO_CESQL if subscriptions.has_cesql(spec.get("filters")) else "",
    }
    uris = {"subscriberUri": to.uri, "deadLetterSinkUri": dead.uri}
    return {**_status(found, conditions), **{name: uri for name, uri in uris.items() if uri}}


def ping(found: Object, resolve: Callable[[Destination], Resolved]) -> Object:
    """A PingSource is ready when it has a time and a place."""
    spec, namespace = found["spec"], found["metadata"]["namespace"]
    to = resolve(subscriptions.destination(spec.get("sink") or {}, namespace))
    problem = cron.problem(spec.get("schedule", ""), spec.get("timezone"))
    conditions = {"Deployed": problem or "", "SinkProvided": to.problem}
    return {**_status(found, conditions), **({"sinkUri": to.uri} if to.uri else {})}


def _status(found: Object, conditions: dict[str, str]) -> Object:
    """Each condition with its problem; one is failing, then it all is."""
    failing = next((name for name, problem in conditions.items() if problem), None)
    ready = {"Ready": conditions[failing] if failing else ""}
    return {
        "observedGeneration": found["metadata"]["generation"],
        "conditions": [_condition(*each) for each in sorted({**conditions, **ready}.items())],
    }


def _condition(kind: str, problem: str) -> Object:
    said = {"reason": "NotPossible", "message": problem} if problem else {}
    return {"type": kind, "status": "False" if problem else "True", **said}
