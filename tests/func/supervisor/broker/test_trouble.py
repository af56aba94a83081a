"""A broker whose disk is full, whose events go elsewhere, or that is watched."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING

import msgspec
from mlfunc.function import Backoff
from mlfunc.supervisor.http.messages import Reply, Request

from tests.rig import brokering
from tests.rig.broker import FakeGateway, running

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    import pytest

    from tests.rig.broker import Rig

_SOON = Backoff("exponential", "0.1s")


async def _bound(rig: Rig, pages: int) -> None:
    """SQLite takes a file that may not grow for a full disk."""

    def bound(db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await rig.broker._committer.do(bound)


def test_a_full_disk_is_told_and_what_was_taken_stays(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            rig.subscribe("takes")
            await rig.emit("order", "x" * 10_000, id="first")
            await rig.settled()
            await _bound(rig, 1)
            refused = await rig.emit("order", "x" * 500_000, id="second")
            assert refused.status == 507
            assert b"the disk is full" in refused.body  # type: ignore[operator]
            await _bound(rig, 1_000_000)
            assert (await rig.emit("order", "x" * 500_000, id="third")).status == 202
            await rig.settled()
            ids = [each.header("ce-id") for each in rig.gateway.sent["takes"]]
            assert ids == ["first", "third"]

    asyncio.run(scenario())


def test_one_that_fails_does_not_take_others_of_its_commit_with_it(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            await rig.emit("order", "x" * 200_000)
            await rig.settled()
            pages = await rig.broker._committer.do(
                lambda db: db.execute("PRAGMA page_count").fetchone()[0]
            )
            await _bound(rig, pages + 30)
            large = [rig.emit("order", "x" * 1_000_000, id=f"l{n}") for n in range(3)]
            small = [rig.emit("order", n, id=f"s{n}") for n in range(20)]
            found = await asyncio.gather(*large, *small)
            assert [each.status for each in found] == [507] * 3 + [202] * 20

    asyncio.run(scenario())


def test_a_failure_to_write_is_raised_where_it_was_asked_for(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            committer = rig.broker._committer

            def wrong(_: sqlite3.Connection) -> None:
                raise KeyError("wrong")

            given = (committer.do(wrong), committer.do(lambda db: db.total_changes))
            raised, right = await asyncio.gather(*given, return_exceptions=True)
            assert isinstance(raised, KeyError)
            assert isinstance(right, int)

    asyncio.run(scenario())


def test_an_event_goes_to_any_address(state: Path) -> None:
    async def scenario(url: str) -> None:
        async with running(state) as rig:
            trigger = rig.subscribe("unused")
            trigger = {**trigger, "spec": {**trigger["spec"], "subscriber": {"uri": url}}}
            rig.objects.write(trigger)
            await rig.emit("order", {"n": 1}, id="out")
            (event,) = await rig.settled()
            assert event["deliveries"][0]["status"] == 202

    with brokering.subscriber() as (subscriber, url):
        asyncio.run(scenario(url))
        assert subscriber.ids == {"out": 1}


def test_an_address_that_says_nothing_holds_up_no_end(state: Path) -> None:
    async def scenario(silent: socket.socket) -> None:
        async with running(state) as rig:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            made = rig.subscribe("unused")
            rig.objects.write({**made, "spec": {**made["spec"], "subscriber": {"uri": url}}})
            await rig.emit("order")
            connection, _ = await asyncio.to_thread(silent.accept)
            connections.append(connection)

    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(scenario(silent))
    connections[0].close()


def test_an_address_where_nobody_listens_is_tried_again_and_then_a_dead_letter(
    state: Path,
) -> None:
    async def scenario(url: str) -> None:
        async with running(state) as rig:
            made = rig.subscribe("unused", retry=1, backoff=_SOON, dead_letter="ksvc:audit")
            made = {**made, "spec": {**made["spec"], "subscriber": {"uri": url}}}
            rig.objects.write(made)
            await rig.emit("order")
            (letter,) = await rig.gateway.until("audit", 1)
            assert letter.header("ce-knativeerrorcode") == "-1"
            assert letter.header("ce-knativeerrordest") == url

    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    asyncio.run(scenario(url))


def test_a_dead_letter_may_go_to_another_broker(state: Path) -> None:
    async def refuse(_: Request) -> Reply:
        return Reply(400)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"strict": refuse})) as rig:
            rig.subscribe("audit", broker="failed")
            rig.subscribe("strict", dead_letter="broker:failed")
            await asyncio.sleep(0)
            await rig.emit("order", id="bad")
            (letter,) = await rig.gateway.until("audit", 1)
            assert letter.header("ce-id") == "bad"
            assert letter.header("ce-knativeerrorcode") == "400"
            order, failed = await rig.settled()
            assert (order["broker"], failed["broker"]) == ("default", "failed")

    asyncio.run(scenario())


def test_a_clock_that_is_set_back_puts_off_no_retry(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    async def fail_once(_: Request) -> Reply:
        tries.append(time.time())
        monkeypatch.setattr(time, "time", lambda: tries[0] - 3600)
        return Reply(503 if len(tries) == 1 else 204)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"flaky": fail_once})) as rig:
            rig.subscribe("flaky", retry=1, backoff=_SOON)
            await rig.emit("order")
            async with asyncio.timeout(30):
                await rig.settled()

    asyncio.run(scenario())
    assert len(tries) == 2


def test_who_watches_is_told_each_step(state: Path) -> None:
    left = [Reply(503), Reply(204)]

    async def flaky(_: Request) -> Reply:
        return left.pop(0)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"flaky": flaky})) as rig:
            rig.subscribe("flaky", retry=1, backoff=_SOON)
            reply = await rig.broker.handle(
                Request("GET", "/-/events?namespace=default&watch=true")
            )
            assert not isinstance(reply.body, bytes)
            steps = aiter(reply.body)
            first = asyncio.ensure_future(anext(steps))
            await asyncio.sleep(0)
            await rig.emit("order")
            found = [json.loads(await first)]
            found += [json.loads(await anext(steps)) for _ in range(2)]
            assert [each["step"] for each in found] == ["accepted", "again", "delivered"]
            assert found[0]["to"] == ["ksvc:flaky"]
            assert [each["status"] for each in found[1:]] == [503, 204]
            await steps.aclose()  # type: ignore[attr-defined]
            assert not rig.broker._passing.is_watched

    asyncio.run(scenario())


def test_what_is_done_is_forgotten_but_for_the_last(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlfunc.supervisor.broker.broker._PRUNED_EVERY", 10)

    async def scenario() -> None:
        async with running(state, keep=20) as rig:
            rig.subscribe("takes")
            for number in range(100):
                await rig.emit("order", "x" * 5000, id=str(number))
                await rig.settled()
            found = await rig.broker.recent(limit=1000)
            assert 20 <= len(found) <= 31
            assert found[-1]["event"]["id"] == "99"
            assert {len(each["data"]) for each in found} == {1024}
            assert {each["size"] for each in found} == {5002}

    asyncio.run(scenario())


def test_a_long_queue_is_not_all_in_memory(state: Path) -> None:
    gate = asyncio.Event()

    async def wait(_: Request) -> Reply:
        await gate.wait()
        return Reply(204)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"slow": wait})) as rig:
            rig.subscribe("slow")
            event = {"specversion": "1.0", "source": "/a", "type": "t"}
            batch = [{**event, "id": str(number)} for number in range(2000)]
            await rig.post(msgspec.json.encode(batch), "application/cloudevents-batch+json")
            await rig.gateway.until("slow", 100)
            (lane,) = rig.broker._lanes.values()
            assert len(rig.gateway.sent["slow"]) == 100
            assert len(lane._held) <= 100 + 2 * 200
            gate.set()
            await rig.settled()
            assert len({each.header("ce-id") for each in rig.gateway.sent["slow"]}) == 2000
            assert len(rig.gateway.sent["slow"]) == 2000

    asyncio.run(scenario())


def test_a_mistake_of_ours_fails_one_event_and_stops_no_others(state: Path) -> None:
    async def broken(request: Request) -> Reply:
        if request.header("ce-id") == "bad":
            raise RuntimeError("a mistake")
        return Reply(204)

    async def scenario() -> None:
        async with running(state, gateway=FakeGateway({"takes": broken})) as rig:
            rig.subscribe("takes", retry=0)
            for name in ("bad", "good"):
                await rig.emit("order", id=name)
            bad, good = await rig.settled()
            assert bad["deliveries"][0]["state"] == "lost"
            assert "its log has it" in bad["deliveries"][0]["problem"]
            assert good["deliveries"][0]["state"] == "delivered"

    asyncio.run(scenario())
