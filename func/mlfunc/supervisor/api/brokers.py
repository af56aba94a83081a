"""Brokers: each is ready at the gateway. Nobody but this makes them, for there is no `kn` here.

`default` is there wherever somebody may want it, any other once a Trigger names it.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds

if TYPE_CHECKING:
    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]

DEFAULT = "default"
# Of these, a namespace has events, or may have.
_USERS = (kinds.SERVICE, kinds.TRIGGER, kinds.PING_SOURCE)


class Brokers:
    """Those of all namespaces; `gateway` is the URL of their ingress, without the path."""

    def __init__(self, objects: Objects, gateway: str) -> None:
        self._objects = objects
        self._gateway = gateway
        for each in objects.list(kinds.BROKER):
            self._say(each)
        for kind in _USERS:
            for each in objects.list(kind):
                self._have_for(each)
        objects.listen(self._see)

    def have(self, namespace: str, name: str = DEFAULT) -> None:
        """Make it, unless it is there."""
        if self._objects.get(kinds.BROKER, namespace, name) is None:
            self._objects.write(
                {
                    "apiVersion": kinds.BROKER.api_version,
                    "kind": kinds.BROKER.name,
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {},
                    "status": self._status(namespace, name),
                }
            )

    def _have_for(self, user: Object) -> None:
        namespace = user["metadata"]["namespace"]
        self.have(namespace)
        if user["kind"] == kinds.TRIGGER.name:
            self.have(namespace, user["spec"].get("broker", DEFAULT))

    def _see(self, change: Change) -> None:
        if change.happening == "DELETED":
            return
        if change.kind in _USERS:
            self._have_for(change.object)
        elif change.kind == kinds.BROKER:
            self._say(change.object)

    def _say(self, broker: Object) -> None:
        meta = broker["metadata"]
        wanted = self._status(meta["namespace"], meta["name"])
        status = broker.get("status") or {}
        if status.get("address") != wanted["address"] or not status.get("conditions"):
            self._objects.write_status(kinds.BROKER, meta["namespace"], meta["name"], wanted)

    def _status(self, namespace: str, name: str) -> Object:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kinds_of = ("Addressable", "FilterReady", "IngressReady", "Ready")
        conditions = [
            {"type": each, "status": "True", "lastTransitionTime": now} for each in kinds_of
        ]
        url = f"{self._gateway}/-/broker/{namespace}/{name}"
        return {"address": {"name": "http", "url": url}, "conditions": conditions}
