"""A control plane with a fleet and a gateway that do as a test says, and no time of its own."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.function import Function
from mlfunc.knative import service as services
from mlfunc.knative.release import Release
from mlfunc.supervisor import releases
from mlfunc.supervisor.control.control import Control
from mlfunc.supervisor.parts import Blueprint, Instance, Key, Load, Route
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mlfunc.supervisor.http.messages import Reply, Request
    from mlfunc.supervisor.parts import InstancePhase

Object = dict[str, Any]
DIGEST = "0" * 64
PORT = 8088


class Fleet:
    """Instances change when a test says so."""

    def __init__(self, told: list[str]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.blueprints: dict[Key, Blueprint] = {}
        self._told = told
        self._made = 0
        self._instances: dict[str, Instance] = {}
        self._listeners: list[Callable[[Instance], None]] = []

    def scale(self, blueprint: Blueprint, instances: int) -> None:
        self.asked.append((blueprint.revision.name, instances))
        self.blueprints[blueprint.revision] = blueprint
        there = [each for each in self.instances(blueprint.revision) if each.phase != "draining"]
        for each in reversed(there[instances:]):
            self.becomes(each.name, "draining")
            self._told.append(f"end {each.name}")
        for _ in range(instances - len(there)):
            self._made += 1
            name = f"{blueprint.revision.name}-deployment-{self._made}"
            self._put(Instance(name, blueprint.revision, "starting", time.time(), time.time()))

    def instances(self, revision: Key | None = None) -> Sequence[Instance]:
        return [each for each in self._instances.values() if revision in (None, each.revision)]

    def listen(self, tell: Callable[[Instance], None]) -> None:
        self._listeners.append(tell)

    async def close(self) -> None: ...

    def becomes(self, name: str, phase: InstancePhase, **changed: Any) -> None:
        if phase == "ready":
            changed = {"pid": 7, "port": 4000, **changed}
        if phase == "backoff":
            changed = {"pid": None, "port": None, **changed}
        self._put(replace(self._instances[name], phase=phase, since=time.time(), **changed))

    def _put(self, instance: Instance) -> None:
        self._instances[instance.name] = instance
        if instance.phase == "ended":
            del self._instances[instance.name]
        for tell in self._listeners:
            tell(instance)


class Gateway:
    """Notes what it is told; `loads` are those that a test says."""

    def __init__(self, told: list[str]) -> None:
        self.routes: Sequence[Route] = ()
        self.served: dict[Key, tuple[int, float]] = {}
        self.joined: dict[str, int] = {}
        self.loads: dict[Key, Load] = {}
        self.asked = 0
        self._told = told
        self.woken: Callable[[Key], None] = lambda key: None

    def route(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._told.append("route")

    def serve(self, revision: Key, concurrency: int, timeout: float) -> None:
        self.served[revision] = (concurrency, timeout)

    def forget(self, revision: Key) -> None:
        del self.served[revision]

    def join(self, revision: Key, instance: str, port: int) -> None:
        assert revision in self.served
        self.joined[instance] = port

    def leave(self, revision: Key, instance: str) -> None:
        self._told.append(f"leave {instance}")
        del self.joined[instance]

    def load(self, revision: Key) -> Load:
        self.asked += 1
        return self.loads.get(revision, Load(0.0, 0, 0, 0))

    def wake(self, tell: Callable[[Key], None]) -> None:
        self.woken = tell

    async def send(self, service: Key, request: Request, timeout: float) -> Reply:
        raise NotImplementedError


class Rig:
    """To be made while a loop runs."""

    def __init__(
        self,
        objects: Objects | None = None,
        port: int = PORT,
        pause: float = 0,
        machine: Mapping[str, float] | None = None,
    ) -> None:
        self.told: list[str] = []
        self.objects = objects or Objects()
        self.fleet = Fleet(self.told)
        self.gateway = Gateway(self.told)
        self.time = 1000.0
        self.missing = False
        self.control = Control(
            self.objects,
            self.fleet,
            self.gateway,
            self._release,
            f"http://127.0.0.1:{port}",
            machine=machine,
            now=lambda: self.time,
            clock=lambda: self.time,
            pause=pause,
        )
        self.control.start()

    def _release(self, digest: str) -> releases.Release:
        if self.missing:
            raise MlfuncError(f"there is no release {digest}")
        return releases.Release(digest, "/env/bin/python", "/release", {"PATH": "/bin"})

    def close(self) -> None:
        self.control.close()

    async def apply(
        self, function: Function, *, traffic: Any = None, digest: str = DIGEST
    ) -> Object:
        """As a deployment does; what the Service is then."""
        image = f"local/{function.name}@sha256:{digest}"
        release = Release(function, "default", image, 0)
        wanted = services.manifest(release, traffic=traffic)
        before = self.service(function.name)
        if before:
            wanted = {**wanted, "status": before["status"]}
        self.objects.write(wanted)
        await self.settle()
        return self.service(function.name)

    async def settle(self) -> None:
        """Until nothing is due any more."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def ready(self, revision: str = "", port: int = 4000) -> None:
        """All that start are ready."""
        for each in self.fleet.instances():
            if each.phase in ("starting", "loading") and each.name.startswith(revision):
                self.fleet.becomes(each.name, "ready", port=port)
        await self.settle()

    async def passes(self, seconds: int, load: Load | None = None, revision: str = "") -> None:
        """So much time, second by second."""
        for _ in range(seconds):
            if load:
                self.gateway.loads = {Key("default", revision): load}
            self.time += 1
            self.control.scaling.look()
            await self.settle()

    def service(self, name: str) -> Object:
        return self.objects.get(kinds.SERVICE, "default", name) or {}

    def revision(self, name: str) -> Object:
        return self.objects.get(kinds.REVISION, "default", name) or {}

    def autoscaler(self, name: str) -> Object:
        return self.objects.get(kinds.AUTOSCALER, "default", name) or {}

    @property
    def pods(self) -> list[Object]:
        return self.objects.list(kinds.POD)

    @property
    def revisions(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.objects.list(kinds.REVISION)]


def function(name: str = "f", **given: Any) -> Function:
    return msgspec.convert({"name": name, "predictor": "p.py:P", **given}, Function)


def played(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is told on a loop, with a rig."""

    async def play(given: Mapping[str, Any]) -> None:
        rig = Rig()
        try:
            await story(rig, **given)
        finally:
            rig.close()

    @functools.wraps(story)
    def test(**given: Any) -> None:
        asyncio.run(play(given))

    signature = inspect.signature(story)
    _, *others = signature.parameters.values()
    test.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return test
