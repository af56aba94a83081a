"""What a part has, as another part asks for it: where the two do not use the same words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from mlfunc.cluster import kinds
from mlfunc.supervisor.dashboard.sources import Counted, Delivery, Latencies, Passage
from mlfunc.supervisor.fleet.logs import NoLog
from mlfunc.supervisor.fleet.reading import Query
from mlfunc.supervisor.gateway.meter import BOUNDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mlfunc.supervisor import api
    from mlfunc.supervisor.broker.broker import Broker
    from mlfunc.supervisor.dashboard.sources import DeliveryState
    from mlfunc.supervisor.fleet.logs import Logs
    from mlfunc.supervisor.gateway.gateway import Gateway
    from mlfunc.supervisor.gateway.meter import Stats
    from mlfunc.supervisor.http.messages import Handler, Reply, Request
    from mlfunc.supervisor.parts import Key
    from mlfunc.supervisor.state.objects import Objects


def pod_logs(logs: Logs) -> api.Logs:
    """What instances say, as the API gives it."""

    def read(pod: Mapping[str, Any], query: Mapping[str, str]) -> AsyncIterator[bytes]:
        meta = pod["metadata"]
        return logs.read(meta["namespace"], meta["name"], Query.of(query))

    return read


def events_or(broker: Broker, others: Handler) -> Handler:
    """Events, and what became of them, from the broker; all else from another."""

    async def handle(request: Request) -> Reply:
        return await (broker.handle if broker.owns(request.path) else others)(request)

    return handle


def until(ending: asyncio.Event, handler: Handler) -> Handler:
    """The same, whose replies that go on for ever end then: nobody has to wait for them."""

    async def handle(request: Request) -> Reply:
        reply = await handler(request)
        if isinstance(reply.body, bytes):
            return reply
        return replace(reply, body=_until(ending, reply.body))

    return handle


async def _until(ending: asyncio.Event, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    end = asyncio.ensure_future(ending.wait())
    try:
        while (piece := await _before(end, pieces)) is not None:
            yield piece
    finally:
        end.cancel()
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _before(end: asyncio.Future[Any], pieces: AsyncIterator[bytes]) -> bytes | None:
    """The next one; None: there is none, or the end came first."""
    piece = asyncio.ensure_future(anext(pieces, None))
    try:
        await asyncio.wait({piece, end}, return_when=asyncio.FIRST_COMPLETED)
        return piece.result() if piece.done() and not end.done() else None
    finally:
        piece.cancel()
        await asyncio.wait({piece})


class Journals:
    """What instances say, as the dashboard follows it."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def follow(self, namespace: str, instance: str, tail: int) -> AsyncIterator[bytes]:
        """Line by line."""
        query = Query(follow=True, timestamps=True, tail=tail)
        try:
            lines = self._logs.read(namespace, instance, query)
        except NoLog:  # it has said nothing, and is gone
            return
        async for block in lines:
            for line in block.splitlines():
                yield line


class Counts:
    """What the gateway has counted, as the dashboard asks for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def stats(self) -> Mapping[Key, Counted]:
        """Of each revision."""
        return {each.revision: counted(each) for each in self._gateway.stats()}


def counted(stats: Stats) -> Counted:
    """Statuses by their classes."""
    classes: dict[str, int] = {}
    for status, number in stats.statuses.items():
        name = f"{status // 100}xx"
        classes[name] = classes.get(name, 0) + number
    return Counted(
        in_flight=stats.in_flight,
        waiting=stats.waiting,
        statuses=classes,
        latencies=Latencies(BOUNDS, stats.times),
        held=stats.held,
    )


class Passages:
    """The events of a broker, as the dashboard shows them."""

    def __init__(self, broker: Broker, objects: Objects) -> None:
        self._broker = broker
        self._objects = objects

    async def recent(self, limit: int) -> Sequence[Passage]:
        """The newest first."""
        found = await self._broker.recent(limit=limit)
        return [passage(each, self._objects) for each in reversed(found)]


def passage(told: Mapping[str, Any], objects: Objects) -> Passage:
    """An event, and where it went."""
    attributes = told["event"]
    return Passage(
        number=told["seq"],
        at=told["arrived"],
        namespace=told["namespace"],
        broker=told["broker"],
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=attributes.get("subject", ""),
        data=told["data"],
        deliveries=tuple(
            _delivery(told["namespace"], each, objects) for each in told["deliveries"]
        ),
    )


def _delivery(namespace: str, told: Mapping[str, Any], objects: Objects) -> Delivery:
    return Delivery(
        trigger=told["name"],
        subscriber=_subscriber(objects, namespace, told),
        state=_state(told),
        attempts=told["failures"] + int(told["state"] == "delivered"),
        status=told["status"],
        seconds=told["seconds"],
        problem=told["problem"],
        reply=next(iter(told["replies"]), None),
    )


def _state(told: Mapping[str, Any]) -> DeliveryState:
    match told["state"], told["phase"]:
        case "open", "subscriber":
            return "retrying" if told["failures"] else "waiting"
        case "open", _:
            return "dead"
        case state, _:
            return cast("DeliveryState", state)


def _subscriber(objects: Objects, namespace: str, told: Mapping[str, Any]) -> str:
    """By the object as it is now."""
    kind, key = (
        (kinds.TRIGGER, "subscriber") if told["kind"] == "Trigger" else (kinds.PING_SOURCE, "sink")
    )
    found = objects.get(kind, namespace, told["name"]) or {}
    target = (found.get("spec") or {}).get(key) or {}
    return (target.get("ref") or {}).get("name") or target.get("uri") or ""
