"""Who gets an event: Triggers and PingSources, read from their objects. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mlfunc.knative import filters
from mlfunc.supervisor.broker import delivery
from mlfunc.supervisor.broker.delivery import Policy
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]

_NOBODY = Key("", "")
# Of Knative's adapter of PingSources.
_OF_PINGS = Policy(retry=5, backoff="exponential", delay=0.05)


class Way(NamedTuple):
    """The object by which an event gets somewhere."""

    kind: Literal["Trigger", "PingSource"]
    namespace: str
    name: str


@dataclass(frozen=True)
class Destination:
    """Where events are sent: a function, a broker here, or an address."""

    kind: Literal["function", "broker", "address", "unknown"]
    key: Key = _NOBODY
    uri: str = ""  # of an address whole, of a function the path

    def __str__(self) -> str:
        """As people write it."""
        match self.kind:
            case "function":
                return f"ksvc:{self.key.name}"
            case "broker":
                return f"broker:{self.key.name}"
            case _:
                return self.uri


@dataclass(frozen=True)
class Subscription:
    """One way, and what it takes."""

    way: Way
    broker: str  # empty: of a PingSource
    destination: Destination
    policy: Policy
    dead_letter: Destination | None = None
    filter: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[filters.Filter, ...] = ()

    def takes(self, attributes: Mapping[str, str]) -> bool:
        """Whether an event passes; an expression in CESQL lets none pass here."""
        if self.filters:
            return filters.matches(self.filters, _Whole(attributes)) is True
        return filters.attributes_match(self.filter, attributes) is True


class _Whole(dict[str, str]):
    """All attributes of an event: what is not among them is empty, and no filter compares that."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return ""


def of_trigger(trigger: Object, broker: Object | None) -> Subscription:
    """As a Trigger says, and its Broker where that says nothing."""
    spec, meta = trigger["spec"], trigger["metadata"]
    of_broker = ((broker or {}).get("spec") or {}).get("delivery") or delivery.DEFAULT
    own = spec.get("delivery")
    sink = (own or {}).get("deadLetterSink") or of_broker.get("deadLetterSink")
    return Subscription(
        way=Way("Trigger", meta["namespace"], meta["name"]),
        broker=spec.get("broker", "default"),
        destination=destination(spec.get("subscriber") or {}, meta["namespace"]),
        policy=delivery.policy(of_broker if own is None else own),
        dead_letter=destination(sink, meta["namespace"]) if sink else None,
        filter=(spec.get("filter") or {}).get("attributes") or {},
        filters=tuple(spec.get("filters") or ()),
    )


def of_ping(source: Object) -> Subscription:
    """As a PingSource says."""
    meta = source["metadata"]
    return Subscription(
        way=Way("PingSource", meta["namespace"], meta["name"]),
        broker="",
        destination=destination(source["spec"].get("sink") or {}, meta["namespace"]),
        policy=_OF_PINGS,
    )


def destination(found: Object, namespace: str) -> Destination:
    """Of a `subscriber`, a `sink` or a `deadLetterSink`."""
    ref, uri = found.get("ref"), found.get("uri") or ""
    if not ref:
        return Destination("address" if uri else "unknown", uri=uri)
    key = Key(ref.get("namespace") or namespace, ref["name"])
    group = str(ref.get("apiVersion", "")).partition("/")[0]
    match (group, ref.get("kind")):
        case ("serving.knative.dev", "Service"):
            return Destination("function", key, uri)
        case ("eventing.knative.dev", "Broker"):
            return Destination("broker", key)
        case _:
            return Destination("unknown", key, f"{ref.get('kind')} {ref['name']}")


def has_cesql(given: Any) -> bool:
    """Whether an expression is anywhere in filters."""
    if isinstance(given, dict):
        return "cesql" in given or any(
            has_cesql(value) for name, value in given.items() if name in ("all", "any", "not")
        )
    return isinstance(given, list | tuple) and any(map(has_cesql, given))
