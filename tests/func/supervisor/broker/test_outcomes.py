"""What is counted of events, by the way that they went."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.function import Backoff
from mlfunc.supervisor.http.messages import Reply, Request

from tests.rig.broker import FakeGateway, running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.rig.broker import Rig

_SOON = Backoff("exponential", "0.05s")
_LATE = Backoff("exponential", "1h")
_DETAIL = b'{"detail": "n is missing"}'


async def _outcomes(rig: Rig) -> dict[str, dict[str, Any]]:
    reply = await rig.broker.handle(Request("GET", "/-/events?outcomes=true&namespace=default"))
    assert isinstance(reply.body, bytes)
    return {each["name"]: each for each in json.loads(reply.body)["outcomes"]}


def _counts(outcome: dict[str, Any]) -> tuple[int, ...]:
    return tuple(outcome[name] for name in ("delivered", "dead", "lost", "waiting", "failed"))


async def _refuse(_: Request) -> Reply:
    return Reply(400, [], _DETAIL)


def test_what_is_lost_is_counted_with_why(state: Path) -> None:
    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"strict": _refuse})) as rig:
            name = rig.subscribe("strict")["metadata"]["name"]
            await rig.emit("order", id="7")
            await rig.settled()
            outcome = (await _outcomes(rig))[name]
            assert _counts(outcome) == (0, 0, 1, 0, 1)
            failure = outcome["failure"]
            assert (failure["event"], failure["type"]) == ("7", "order")
            assert (failure["status"], failure["problem"]) == (400, "n is missing")

    asyncio.run(scenario())


def test_a_try_that_failed_is_counted_though_the_next_one_did_not(state: Path) -> None:
    left = [Reply(503), Reply(204)]

    async def flaky(_: Request) -> Reply:
        return left.pop(0)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"flaky": flaky})) as rig:
            name = rig.subscribe("flaky", retry=1, backoff=_SOON)["metadata"]["name"]
            await rig.emit("order")
            await rig.settled()
            assert _counts((await _outcomes(rig))[name]) == (1, 0, 0, 0, 1)

    asyncio.run(scenario())


def test_a_dead_letter_is_not_lost(state: Path) -> None:
    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"strict": _refuse})) as rig:
            name = rig.subscribe("strict", dead_letter="ksvc:letters")["metadata"]["name"]
            await rig.emit("order")
            await rig.settled()
            assert _counts((await _outcomes(rig))[name]) == (0, 1, 0, 0, 1)

    asyncio.run(scenario())


def test_counts_outlive_the_events_and_a_restart(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlfunc.supervisor.broker.broker._PRUNED_EVERY", 5)

    async def scenario() -> None:
        async with running(state, keep=1) as rig:
            made = rig.subscribe("takes")
            for number in range(20):
                await rig.emit("order", id=str(number))
                await rig.settled()
        async with running(state, rig.objects) as again:
            assert _counts((await _outcomes(again))[made["metadata"]["name"]]) == (20, 0, 0, 0, 0)

    asyncio.run(scenario())


def test_what_waits_is_counted_and_forgotten_with_its_trigger(state: Path) -> None:
    async def down(_: Request) -> Reply:
        return Reply(503)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"down": down})) as rig:
            name = rig.subscribe("down", retry=9, backoff=_LATE)["metadata"]["name"]
            await rig.emit("order")
            while not (counted := await _outcomes(rig)) or not counted[name]["failed"]:
                await asyncio.sleep(0.005)
            assert _counts(counted[name]) == (0, 0, 0, 1, 1)
            rig.objects.remove(kinds.TRIGGER, "default", name)
            while await _outcomes(rig):
                await asyncio.sleep(0.005)

    asyncio.run(scenario())
