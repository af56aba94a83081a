"""A local platform that is made up, for its dashboard: objects, instances, counters, events, logs.

The dashboard is the real one. `PlatformPage` serves it on a port of a thread of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlfunc.supervisor.dashboard.dashboard import Dashboard, Platform, Sources
from mlfunc.supervisor.dashboard.sources import Counted, Latencies
from mlfunc.supervisor.http.messages import Reply, Request
from mlfunc.supervisor.parts import Blueprint, Instance, Key
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from mlfunc.supervisor.dashboard.sources import Passage
    from mlfunc.supervisor.parts import InstancePhase

T = TypeVar("T")
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
STARTUP = {
    "spawn": 0.09,
    "runtime": 0.21,
    "import": 0.52,
    "load": 0.31,
    "warmup": 0.04,
    "total": 1.17,
}


class Instances:
    """A fleet that has what it is given."""

    def __init__(self) -> None:
        self.there: dict[str, Instance] = {}
        self._listeners: list[Callable[[Instance], None]] = []

    def scale(self, blueprint: Blueprint, instances: int) -> None:
        raise NotImplementedError

    def instances(self, revision: Key | None = None) -> Sequence[Instance]:
        return [each for each in self.there.values() if revision in (None, each.revision)]

    def listen(self, tell: Callable[[Instance], None]) -> None:
        self._listeners.append(tell)

    async def close(self) -> None:
        self.there.clear()

    def put(self, instance: Instance) -> None:
        self.there[instance.name] = instance
        if instance.phase == "ended":
            del self.there[instance.name]
        for tell in self._listeners:
            tell(instance)


class Counters:
    """What a gateway has counted."""

    def __init__(self) -> None:
        self.counted: dict[Key, Counted] = {}

    def stats(self) -> dict[Key, Counted]:
        return dict(self.counted)

    def answer(self, revision: Key, count: int, bucket: int, status: str = "2xx") -> None:
        """So many requests more, each as long as the bucket's bound."""
        before = self.counted.get(revision, Counted(latencies=Latencies(BOUNDS, (0,) * 9)))
        counts = list(before.latencies.counts)
        counts[bucket] += count
        statuses = {**before.statuses, status: before.statuses.get(status, 0) + count}
        latencies = Latencies(BOUNDS, tuple(counts))
        self.counted[revision] = replace(before, statuses=statuses, latencies=latencies)

    def set(self, revision: Key, **values: int) -> None:
        before = self.counted.get(revision, Counted(latencies=Latencies(BOUNDS, (0,) * 9)))
        self.counted[revision] = replace(before, **values)  # type: ignore[arg-type]


class Events:
    """What a broker remembers."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []

    async def recent(self, limit: int) -> Sequence[Passage]:
        return list(reversed(self.passages))[:limit]


class Spoken:
    """What instances have said, and will."""

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}
        self._news = asyncio.Condition()

    async def follow(self, namespace: str, instance: str, tail: int) -> AsyncIterator[bytes]:
        del namespace
        at = max(0, len(self._lines.get(instance, ())) - tail)
        while True:
            lines = self._lines.get(instance, [])[at:]
            at += len(lines)
            for each in lines:
                yield each
            async with self._news:
                if len(self._lines.get(instance, ())) == at:
                    await self._news.wait()

    async def say(self, instance: str, *lines: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
        async with self._news:
            own = self._lines.setdefault(instance, [])
            own += [f"{stamp} {line}".encode() for line in lines]
            self._news.notify_all()


@dataclass
class Made:
    """The parts, made up."""

    objects: Objects = field(default_factory=Objects)
    fleet: Instances = field(default_factory=Instances)
    counters: Counters = field(default_factory=Counters)
    events: Events = field(default_factory=Events)
    logs: Spoken = field(default_factory=Spoken)

    def dashboard(self, clock: Callable[[], float] = time.time) -> Dashboard:
        sources = Sources(self.objects, self.fleet, self.counters, self.events, self.logs)
        platform = Platform("http://127.0.0.1:8088", "0.0.0", os.getpid(), clock())
        return Dashboard(sources, platform, clock)


def service(
    name: str, shares: dict[str, int], *, ready: str = "True", tags: dict[str, str] | None = None
) -> dict[str, Any]:
    url = f"http://{name}.default.localhost:8088"
    traffic: list[dict[str, Any]] = [
        {"revisionName": revision, "percent": percent} for revision, percent in shares.items()
    ]
    traffic += [
        {"revisionName": revision, "tag": tag, "url": f"http://{tag}-{name}.default.localhost:8088"}
        for tag, revision in (tags or {}).items()
    ]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"app.kubernetes.io/managed-by": "mlfunc"},
        },
        "spec": {
            "template": {
                "spec": {
                    "containerConcurrency": 4,
                    "containers": [{"image": f"local/{name}@sha256:0"}],
                }
            }
        },
        "status": {
            "url": url,
            "traffic": traffic,
            "latestCreatedRevisionName": next(iter(shares), ""),
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def revision(function: str, name: str, *, ready: str = "True", message: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {
                "serving.knative.dev/service": function,
                "serving.knative.dev/configurationGeneration": str(int(name.rpartition("-")[2])),
            },
            "annotations": {
                "autoscaling.knative.dev/min-scale": "0",
                "autoscaling.knative.dev/max-scale": "10",
            },
        },
        "spec": {"containers": [{"image": f"local/{function}@sha256:0"}]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": message}]},
    }


def trigger(name: str, function: str, type_: str) -> dict[str, Any]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "broker": "default",
            "filter": {"attributes": {"type": type_}},
            "subscriber": {
                "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": function}
            },
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def instance(name: str, revision: str, phase: InstancePhase = "ready", **values: Any) -> Instance:
    now = time.time()
    told: dict[str, Any] = {"startup": STARTUP, "pid": 4242, "created": now - 1.2, "since": now}
    told |= values
    return Instance(name, Key("default", revision), phase, **told)


class PlatformPage:
    """A dashboard on a port, and the parts behind it, which are changed by `do`."""

    def __init__(self, made: Made, loop: asyncio.AbstractEventLoop) -> None:
        self.made = made
        self.url = ""
        self.dashboard = made.dashboard()
        self._loop = loop

    def say(self, instance: str, *lines: str) -> None:
        """Have an instance say so."""
        saying = self.made.logs.say(instance, *lines)
        asyncio.run_coroutine_threadsafe(saying, self._loop).result(10)

    def do(self, change: Callable[[Made], T]) -> T:
        """Have this done on the supervisor's thread."""

        async def on_loop() -> T:
            return change(self.made)

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(10)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a connection, which then is closed."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = [
                (name.lower(), value.strip())
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            ]
            reply = await self.dashboard.handle(Request(method, target, headers))
            fields = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
            writer.write(
                f"HTTP/1.1 {reply.status} .\r\nconnection: close\r\n{fields}\r\n".encode("latin-1")
            )
            await _send(reply, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the platform ends
        finally:
            writer.close()


async def _send(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if isinstance(reply.body, bytes):
        writer.write(reply.body)
        await writer.drain()
        return

    async def pieces(body: AsyncIterator[bytes]) -> None:
        async for piece in body:
            writer.write(piece)
            await writer.drain()

    # As of the real server: a client that leaves ends what is written to it.
    sending = asyncio.ensure_future(pieces(reply.body))
    leaving = asyncio.ensure_future(reader.read())
    await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
    for task in (sending, leaving):
        task.cancel()
    await asyncio.gather(sending, leaving, return_exceptions=True)
    await reply.body.aclose()  # type: ignore[attr-defined]


@contextmanager
def platform_page(port: int = 0) -> Iterator[PlatformPage]:
    """Serve a dashboard until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def begin() -> tuple[PlatformPage, asyncio.Server]:
        page = PlatformPage(Made(), loop)
        server = await asyncio.start_server(page.answer, "127.0.0.1", port)
        page.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return page, server

    async def end(page: PlatformPage, server: asyncio.Server) -> None:
        server.close()
        await page.dashboard.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    page, server = call(begin())
    try:
        yield page
    finally:
        call(end(page, server))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
