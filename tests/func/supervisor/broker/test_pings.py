"""Schedules: fired once, and not for what has passed unseen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.supervisor.broker import pings
from mlfunc.supervisor.broker.pings import Pings
from mlfunc.supervisor.state.objects import Objects

from tests.rig.broker import running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _source(created: str = "2026-01-01T00:00:00Z", **spec: str) -> dict[str, Any]:
    ref = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "report"}
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "PingSource",
        "metadata": {
            "name": "nightly",
            "namespace": "default",
            "uid": "0b1ce1ab-2c0f-5f0e-9a38-6f1d7a5d7f0c",
            "creationTimestamp": created,
            "generation": 1,
        },
        "spec": {"schedule": "* * * * *", "sink": {"ref": ref}, **spec},
    }


def test_the_event_is_as_knative_has_it() -> None:
    source = _source(contentType="application/json", data='{"n": 1}')
    event = pings.event(source, 1795677720.0)

    assert event.data == b'{"n": 1}'
    assert event.attributes == {
        "specversion": "1.0",
        "id": event.id,
        "source": "/apis/v1/namespaces/default/pingsources/nightly",
        "type": "dev.knative.sources.ping",
        "time": "2026-11-26T07:22:00Z",
        "datacontenttype": "application/json",
    }
    assert pings.event(source, 1795677720.0).id == event.id
    assert pings.event(source, 1795677780.0).id != event.id


def test_what_came_due_just_before_a_start_is_fired_and_older_is_not() -> None:
    """By a clock that stands still, so that the minute is always the same."""

    async def scenario(now: float) -> list[float]:
        fired: list[float] = []
        source = _source()
        found = Pings(lambda: [source], lambda _, at: fired.append(at), clock=lambda: now)
        found.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        found.close()
        return fired

    minute = 1795677720.0
    assert asyncio.run(scenario(minute + 3)) == [minute]
    assert asyncio.run(scenario(minute + 30)) == []


def test_a_source_that_is_new_waits_for_its_next_time() -> None:
    async def scenario() -> list[float]:
        fired: list[float] = []
        source = _source(created="2026-11-26T07:22:02Z")
        now = 1795677720.0 + 3
        found = Pings(lambda: [source], lambda _, at: fired.append(at), clock=lambda: now)
        found.start()
        await asyncio.sleep(0.01)
        found.close()
        return fired

    assert asyncio.run(scenario()) == []


def test_when_the_clock_is_set_back_the_next_time_is_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pings, "_LONGEST_SLEEP", 0.001)

    async def scenario() -> list[float]:
        now = 1795677720.0 + 3
        fired: list[float] = []
        done = asyncio.Event()

        def fire(_: object, at: float) -> None:
            fired.append(at)
            done.set()

        found = Pings(lambda: [_source()], fire, clock=lambda: now)
        found.look()
        found.start()
        now -= 86_400
        await asyncio.sleep(0.01)
        now += 60
        await asyncio.wait_for(done.wait(), 10)
        found.close()
        return fired

    assert asyncio.run(scenario()) == [1795677780.0 - 86_400]


def test_a_time_is_fired_once_even_by_two_starts(state: Path) -> None:
    async def once(at: float) -> int:
        objects = Objects()
        async with running(state, objects) as rig:
            source = objects.write(_source())
            rig.broker._fire(source, at)
            while rig.broker._tasks:
                await asyncio.sleep(0.005)
            await rig.settled()
            return len(rig.gateway.sent["report"])

    at = time.time() // 60 * 60 - 3600
    assert asyncio.run(once(at)) == 1
    assert asyncio.run(once(at)) == 0
    assert asyncio.run(once(at + 60)) == 1


def test_a_source_that_cannot_be_says_so(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            rig.objects.write(_source(schedule="@every 5m"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            found = rig.objects.get(kinds.PING_SOURCE, "default", "nightly")
            assert found is not None
            ready = {each["type"]: each for each in found["status"]["conditions"]}["Ready"]
            assert ready["status"] == "False"
            assert "no @every" in ready["message"]

    asyncio.run(scenario())
