"""A broker with a real file, and a gateway that answers as a test says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from mlfunc.function import Subscription
from mlfunc.knative import triggers
from mlfunc.supervisor.broker import journal
from mlfunc.supervisor.broker.broker import Broker
from mlfunc.supervisor.http.messages import Reply, Request
from mlfunc.supervisor.state.committing import Committer
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.supervisor.parts import Key, Load, Route

Answering = Callable[[Request], Awaitable[Reply]]


async def _no_reply(_request: Request) -> Reply:
    return Reply(204)


@dataclass
class FakeGateway:
    """Functions by name; what each was sent."""

    functions: dict[str, Answering] = field(default_factory=dict)
    sent: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    timeouts: list[float] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, service: Key, request: Request, timeout: float) -> Reply:
        self.sent[service.name].append(request)
        self.timeouts.append(timeout)
        self._more.set()
        return await self.functions.get(service.name, _no_reply)(request)

    async def until(self, name: str, count: int) -> list[Request]:
        while len(self.sent[name]) < count:
            self._more.clear()
            await self._more.wait()
        return self.sent[name]

    def route(self, routes: Sequence[Route]) -> None:
        raise NotImplementedError

    def serve(self, revision: Key, concurrency: int, timeout: float) -> None:
        raise NotImplementedError

    def forget(self, revision: Key) -> None:
        raise NotImplementedError

    def join(self, revision: Key, instance: str, port: int) -> None:
        raise NotImplementedError

    def leave(self, revision: Key, instance: str) -> None:
        raise NotImplementedError

    def load(self, revision: Key) -> Load:
        raise NotImplementedError

    def wake(self, tell: Callable[[Key], None]) -> None:
        raise NotImplementedError


@dataclass
class Rig:
    """A broker, what it is told of, and where it sends."""

    path: Path
    objects: Objects
    gateway: FakeGateway
    broker: Broker

    async def emit(self, type_: str, data: Any = None, **attributes: str) -> Reply:
        event = {"specversion": "1.0", "id": "1", "source": "/test", "type": type_, **attributes}
        body = msgspec.json.encode({**event, "data": data})
        return await self.post(body, "application/cloudevents+json")

    async def post(self, body: bytes, content_type: str, **headers: str) -> Reply:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        request = Request(
            "POST", "/-/broker/default/default", [("content-type", content_type), *named], body
        )
        return await self.broker.handle(request)

    def subscribe(self, function: str, **wanted: Any) -> dict[str, Any]:
        given = Subscription(**wanted)
        made = triggers.manifest(given, function, "dev.mlfunc.reply", "default", None)
        return self.objects.write(made)

    async def settled(self) -> list[dict[str, Any]]:
        """What is known of all events once nothing waits."""
        while await self.broker.waiting():
            await asyncio.sleep(0.005)
        return await self.broker.recent()


@asynccontextmanager
async def running(
    path: Path, objects: Objects | None = None, gateway: FakeGateway | None = None, **given: Any
) -> AsyncIterator[Rig]:
    """A broker of its own file, closed in the end."""
    objects, gateway = objects or Objects(), gateway or FakeGateway()
    objects.write(
        {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Broker",
            "metadata": {"name": "default", "namespace": "default"},
            "spec": {},
        }
    )
    committer = Committer(path, journal.SCHEMA)
    broker = Broker(committer, objects, gateway, **given)
    await broker.start()
    try:
        yield Rig(path, objects, gateway, broker)
    finally:
        await broker.close()
        await committer.close()
