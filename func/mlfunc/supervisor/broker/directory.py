"""Which brokers there are and who is subscribed, as objects say at any moment."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.supervisor.broker import subscriptions
from mlfunc.supervisor.broker.subscriptions import Subscription, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]


class Directory:
    """Read once, and kept with each change."""

    def __init__(self, objects: Objects, gone: Callable[[Way], None]) -> None:
        self._objects = objects
        self._gone = gone  # is called with each way that there is no more
        self._by_way: dict[Way, Subscription] = {}
        self._by_broker: dict[tuple[str, str], dict[Way, Subscription]] = defaultdict(dict)
        for kind in (kinds.TRIGGER, kinds.PING_SOURCE):
            for each in objects.list(kind):
                self._add(each)
        self._stop = objects.listen(self._hear)

    def close(self) -> None:
        """Hear no more."""
        self._stop()

    def get(self, way: Way) -> Subscription | None:
        """By what it is called."""
        return self._by_way.get(way)

    def has_broker(self, namespace: str, name: str) -> bool:
        """Whether it is there."""
        return self._objects.get(kinds.BROKER, namespace, name) is not None

    def takers(self, namespace: str, broker: str, attributes: Mapping[str, str]) -> tuple[Way, ...]:
        """Who gets such an event."""
        there = self._by_broker.get((namespace, broker), {})
        return tuple(way for way, each in there.items() if each.takes(attributes))

    def pings(self) -> list[Object]:
        """All PingSources."""
        return self._objects.list(kinds.PING_SOURCE)

    def _hear(self, change: Change) -> None:
        if change.kind == kinds.BROKER:
            self._read_again(change.object)
        elif change.kind in (kinds.TRIGGER, kinds.PING_SOURCE):
            if change.happening == "DELETED":
                self._remove(_way(change.object))
            else:
                self._add(change.object)

    def _read_again(self, broker: Object) -> None:
        """Its Triggers: what they say nothing of, it says."""
        meta = broker["metadata"]
        for way in list(self._by_broker.get((meta["namespace"], meta["name"]), ())):
            trigger = self._objects.get(kinds.TRIGGER, way.namespace, way.name)
            if trigger:
                self._add(trigger)

    def _add(self, found: Object) -> None:
        subscription = self._subscription(found)
        self._leave(subscription.way)
        self._by_way[subscription.way] = subscription
        if subscription.broker:
            at = (subscription.way.namespace, subscription.broker)
            self._by_broker[at][subscription.way] = subscription

    def _subscription(self, found: Object) -> Subscription:
        if found["kind"] == "PingSource":
            return subscriptions.of_ping(found)
        namespace, broker = found["metadata"]["namespace"], found["spec"].get("broker", "default")
        return subscriptions.of_trigger(found, self._objects.get(kinds.BROKER, namespace, broker))

    def _remove(self, way: Way) -> None:
        self._leave(way)
        self._gone(way)

    def _leave(self, way: Way) -> None:
        before = self._by_way.pop(way, None)
        if before:
            self._by_broker[way.namespace, before.broker].pop(way, None)


def _way(found: Object) -> Way:
    meta = found["metadata"]
    return Way(found["kind"], meta["namespace"], meta["name"])
