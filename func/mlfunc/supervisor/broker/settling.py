"""What Triggers and PingSources say of themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.supervisor.broker import readiness
from mlfunc.supervisor.broker.readiness import Resolved

if TYPE_CHECKING:
    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.broker.subscriptions import Destination
    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]

_FIRST = "default"
_LOOKED_AT = {kinds.SERVICE, kinds.BROKER, kinds.TRIGGER, kinds.PING_SOURCE}


class Settling:
    """Done again after what has changed; never amid a change, that others have not heard of."""

    def __init__(self, objects: Objects, address: str) -> None:
        self._objects = objects
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.Handle | None = None
        self._stop = objects.listen(self._hear)
        self._settle()

    def close(self) -> None:
        """Do no more."""
        self._stop()
        if self._soon:
            self._soon.cancel()

    def _hear(self, change: Change) -> None:
        if change.kind in _LOOKED_AT and self._soon is None:
            self._soon = self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._soon = None
        for each in self._objects.list(kinds.TRIGGER):
            self._say(kinds.TRIGGER, each, self._of_trigger(each))
        for each in self._objects.list(kinds.PING_SOURCE):
            self._say(kinds.PING_SOURCE, each, readiness.ping(each, self._resolve))

    def _of_trigger(self, found: Object) -> Object:
        namespace, name = found["metadata"]["namespace"], found["spec"].get("broker", _FIRST)
        there = self._objects.get(kinds.BROKER, namespace, name) is not None
        return readiness.trigger(found, there, self._resolve)

    def _say(self, kind: Kind, found: Object, status: Object) -> None:
        if found.get("status") != status:
            meta = found["metadata"]
            self._objects.write_status(kind, meta["namespace"], meta["name"], status)

    def _resolve(self, to: Destination) -> Resolved:
        match to.kind:
            case "address":
                return Resolved(to.uri)
            case "function":
                return self._of_function(to)
            case "broker" if self._objects.get(kinds.BROKER, *to.key):
                return Resolved(f"{self._address}/-/broker/{to.key.namespace}/{to.key.name}")
            case "broker":
                return Resolved("", f"there is no broker {to.key.name}")
            case "unknown":
                return Resolved("", f"the local platform sends to functions, brokers, URLs: {to}")

    def _of_function(self, to: Destination) -> Resolved:
        found = self._objects.get(kinds.SERVICE, *to.key)
        if found is None:
            return Resolved("", f"there is no function {to.key.name}")
        return Resolved((found.get("status") or {}).get("url", "") + to.uri)
