"""What a function is subscribed to, as its Triggers say: what it takes, and whether it gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlfunc.knative import filters, names, sinks, triggers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Object = dict[str, Any]
Origin = Literal["mlfunc.yaml", "mlfunc subscribe", "another tool"]

# In the order in which Knative comes to them: what is said of the first that fails.
_CONDITIONS = {
    "BrokerReady": "its broker is not ready",
    "SubscriberResolved": "the function has no address",
    "DeadLetterSinkResolved": "its dead letters cannot be sent",
    "DependencyReady": "what it depends on is not ready",
    "OIDCIdentityCreated": "it has no identity",
    "SubscriptionReady": "its channel does not deliver",
}


@dataclass(frozen=True)
class Subscribed:
    """One subscription; `reason` and `hint` are for one that is not ready."""

    trigger: str
    broker: str
    filter: dict[str, str]
    filters: list[filters.Filter]
    ready: bool
    reason: str
    hint: str
    retry: int | None  # None: as the broker has it; likewise the next two
    backoff: str | None
    timeout: str | None
    dead_letter: str | None
    origin: Origin

    @property
    def key(self) -> str:
        """The same for all that take the same events."""
        return triggers.key(self.broker, self.filter, self.filters)

    @property
    def takes(self) -> str:
        """The events that it gets, in words."""
        if self.filters:
            return filters.shown(self.filters)
        shown = (f"{name}={value or '*'}" for name, value in self.filter.items())
        return ", ".join(shown) or "every event"


def read(trigger: Object, brokers: Collection[str]) -> Subscribed:
    """A Trigger, where `brokers` are those that there are."""
    spec = trigger["spec"]
    delivery = spec.get("delivery") or {}
    sink = delivery.get("deadLetterSink")
    reason, hint = _trouble(trigger, brokers)
    return Subscribed(
        trigger=trigger["metadata"]["name"],
        broker=spec.get("broker", ""),
        filter=(spec.get("filter") or {}).get("attributes") or {},
        filters=spec.get("filters") or [],
        ready=not reason,
        reason=reason,
        hint=hint,
        retry=delivery.get("retry"),
        backoff=_backoff(delivery),
        timeout=_time(delivery.get("timeout")),
        dead_letter=sinks.written(sink) if sink else None,
        origin=_origin(trigger),
    )


def of_function(found: Iterable[Object], function: str) -> list[Object]:
    """The Triggers that send to a function, whoever made them, those on their way out included."""
    wanted = ("Service", function)
    return [each for each in found if _subscriber(each) == wanted]


def reply_type(service: Object, its_triggers: Iterable[Object]) -> str:
    """What a function answers with: as deploy noted it, else as it is if nothing else is said."""
    for each in (service, *its_triggers):
        noted = each["metadata"].get("annotations", {}).get(names.REPLY_TYPE)
        if noted:
            return str(noted)
    return f"dev.mlfunc.{service['metadata']['name']}.result"


def missing_broker(name: str, namespace: str, *, by_name: bool = False) -> tuple[str, str]:
    """What is wrong, and what makes one; `by_name`: being named does, as on the local platform."""
    hint = "events.subscriptions of a deployed mlfunc.yaml may name it: then it is made"
    return (
        f"there is no broker {name} in namespace {namespace}",
        hint if by_name else f"kn broker create {name} -n {namespace}",
    )


def _trouble(trigger: Object, brokers: Collection[str]) -> tuple[str, str]:
    """Why it is not ready, and what to do; nothing if it is.

    A Trigger without a broker has no status at all: Knative waits in silence.
    """
    meta, status = trigger["metadata"], trigger.get("status") or {}
    broker = trigger["spec"].get("broker", "")
    if broker not in brokers:
        return missing_broker(broker, meta["namespace"])
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    if not conditions or status.get("observedGeneration") != meta["generation"]:
        return "Knative has not come to it yet", ""
    if conditions.get("Ready", {}).get("status") == "True":
        return "", ""
    return _failing(conditions), ""


def _failing(conditions: dict[str, Object]) -> str:
    for state in ("False", "Unknown"):
        for kind, words in _CONDITIONS.items():
            found = conditions.get(kind, {})
            if found.get("status") == state:
                said = found.get("message") or found.get("reason") or "not known yet"
                return f"{words}: {said}"
    ready = conditions.get("Ready", {})
    return str(ready.get("message") or ready.get("reason") or "not known yet")


def _backoff(delivery: Object) -> str | None:
    policy, delay = delivery.get("backoffPolicy"), _time(delivery.get("backoffDelay"))
    return f"{policy or 'exponential'} from {delay}" if delay else policy


def _time(iso: str | None) -> str | None:
    """PT0.2S as 0.2s; what others wrote in other ways, as it is."""
    if iso is None or not iso.startswith("PT"):
        return iso
    return iso.removeprefix("PT").lower()


def _origin(trigger: Object) -> Origin:
    if not triggers.is_ours(trigger):
        return "another tool"
    return "mlfunc.yaml" if triggers.is_of_file(trigger) else "mlfunc subscribe"


def _subscriber(trigger: Object) -> tuple[str, str]:
    ref = trigger["spec"].get("subscriber", {}).get("ref") or {}
    knative = str(ref.get("apiVersion", "")).startswith("serving.knative.dev/")
    return (str(ref.get("kind")), str(ref.get("name"))) if knative else ("", "")
