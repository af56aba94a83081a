"""The control plane with a real fleet and a real gateway: what somebody who sends requests sees."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import diagnosis, overview, rescaling
from mlfunc.knative import service as services
from mlfunc.knative.release import Release
from mlfunc.supervisor import releases
from mlfunc.supervisor.control.control import Control
from mlfunc.supervisor.fleet.logs import Logs
from mlfunc.supervisor.fleet.processes import Processes
from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.http.messages import Request
from mlfunc.supervisor.parts import Key
from mlfunc.supervisor.state.objects import Objects

from tests.func.supervisor.control.rig import DIGEST, function

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mlfunc.function import Function

SERVICE = Key("default", "greeter")
PATIENCE = 60.0

URL = "http://127.0.0.1:1"


class Platform:
    """Objects, and what is made of them."""

    def __init__(self, project: Path, objects: Objects) -> None:
        self.objects = objects
        self.fleet = Processes(Logs(project / "logs"))
        self.gateway = Gateway()
        self.statuses: Counter[int] = Counter()
        env = {**os.environ, "MLFUNC_FUNCTION": str(project / "mlfunc.yaml")}
        release = releases.Release(DIGEST, sys.executable, str(project), env)
        self.control = Control(objects, self.fleet, self.gateway, lambda digest: release, URL)
        self.control.start()

    def apply(self, function: Function) -> None:
        wanted = services.manifest(
            Release(function, "default", f"local/greeter@sha256:{DIGEST}", 0)
        )
        self.objects.write({**wanted, "status": self.service.get("status", {})})

    def annotate(self, revision: str, wish: rescaling.Wish) -> None:
        found = self.objects.get(kinds.REVISION, "default", revision) or {}
        meta = found["metadata"]
        annotations = {**meta["annotations"], **wish.annotations}
        self.objects.write({**found, "metadata": {**meta, "annotations": annotations}})

    @property
    def service(self) -> dict[str, Any]:
        return self.objects.get(kinds.SERVICE, *SERVICE) or {}

    def running(self, revision: str) -> int:
        return len(overview.running(self.objects.list(kinds.POD), revision))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Whatever changes is told."""
        changed = asyncio.Event()
        stop = self.objects.listen(lambda change: changed.set())
        try:
            while not is_so():
                await changed.wait()
                changed.clear()
        finally:
            stop()

    async def serves(self, revision: str) -> None:
        await self.until(
            lambda: (
                diagnosis.is_ready(self.service)
                and self.service["status"]["latestReadyRevisionName"] == revision
            )
        )

    async def ask(self) -> int:
        body = b'{"name": "Bob"}'
        request = Request("POST", "/", [("content-type", "application/json")], body)
        reply = await self.gateway.send(SERVICE, request, PATIENCE)
        self.statuses[reply.status] += 1
        return reply.status

    @contextlib.asynccontextmanager
    async def busy(self, clients: int) -> AsyncIterator[None]:
        """So many ask all the time."""
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                await self.ask()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(client())
            yield
            over.set()

    async def close(self) -> None:
        self.control.close()
        await self.gateway.close()
        await self.fleet.close()


@contextlib.asynccontextmanager
async def platform(project: Path, objects: Objects | None = None) -> AsyncIterator[Platform]:
    found = Platform(project, objects or Objects())
    try:
        async with asyncio.timeout(PATIENCE):
            yield found
    finally:
        await found.close()


def on_a_loop(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(story)
    def test(**given: Any) -> None:
        async def play() -> None:
            await story(**given)

        asyncio.run(play())

    return test


@on_a_loop
async def test_no_request_fails_while_revisions_take_the_place_of_others_and_instances_leave(
    project: Path,
) -> None:
    async with platform(project) as it:
        it.apply(function("greeter", scale={"min": 1, "max": 3}))
        await it.serves("greeter-00001")
        async with it.busy(8):
            it.annotate("greeter-00001", rescaling.Wish(min=3))
            await it.until(lambda: it.running("greeter-00001") == 3)
            it.annotate("greeter-00001", rescaling.Wish(min=1, max=1))
            await it.until(lambda: it.running("greeter-00001") == 1)
            it.apply(function("greeter", env={"A": "1"}))
            await it.serves("greeter-00002")
            it.objects.remove(kinds.REVISION, "default", "greeter-00001")
            await it.until(lambda: not it.running("greeter-00001"))

    assert set(it.statuses) == {200}


@on_a_loop
async def test_a_request_at_zero_is_answered_by_the_instance_that_it_starts(project: Path) -> None:
    async with platform(project) as before:
        before.apply(function("greeter"))
        await before.serves("greeter-00001")
    async with platform(project, before.objects) as it:
        assert await it.ask() == 200
        await it.until(lambda: it.running("greeter-00001") == 1)
        assert len(it.fleet.instances()) == 1


@on_a_loop
async def test_an_instance_that_is_killed_is_replaced_and_requests_wait_for_that(
    project: Path,
) -> None:
    async with platform(project) as it:
        it.apply(function("greeter"))
        await it.serves("greeter-00001")
        (instance,) = it.fleet.instances()
        assert instance.pid

        os.kill(instance.pid, 9)
        await it.until(lambda: not it.running("greeter-00001"))

        assert await it.ask() == 200
        (again,) = it.fleet.instances()
        assert (again.name, again.restarts, again.exit_code) == (instance.name, 1, -9)
