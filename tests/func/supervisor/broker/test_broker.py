"""Events through a broker: taken, kept, delivered, answered, tried again, given up."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import msgspec
from mlfunc.cluster import kinds
from mlfunc.function import Backoff
from mlfunc.supervisor.broker import journal
from mlfunc.supervisor.http.messages import Reply, Request

from tests.rig.broker import Answering, FakeGateway, running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _answering(*replies: Reply) -> Answering:
    left = list(replies)

    async def answer(_request: Request) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def _event(type_: str) -> Reply:
    headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "reply"),
        ("ce-source", "/function"),
        ("ce-type", type_),
        ("content-type", "application/json"),
    ]
    return Reply(200, headers, b'{"score": 1}')


def test_an_event_is_delivered_to_those_whose_filter_it_passes(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            rig.subscribe("takes", filter={"type": "order"})
            rig.subscribe("other", filter={"type": "refund"})
            rig.subscribe("prefixed", filters=[{"prefix": {"type": "or"}}])
            rig.subscribe("without", filters=[{"not": {"exact": {"subject": "x"}}}])
            assert (await rig.emit("order", {"n": 1})).status == 202
            (event,) = await rig.settled()
            assert {each["state"] for each in event["deliveries"]} == {"delivered"}
            assert sorted(name for name, sent in rig.gateway.sent.items() if sent) == [
                "prefixed",
                "takes",
                "without",
            ]
            (request,) = rig.gateway.sent["takes"]
            assert request.body == b'{"n":1}'
            assert request.header("ce-id") == "1"
            assert request.header("ce-type") == "order"
            assert request.header("content-type") == "application/json"
            assert request.header("kn-namespace") == "default"
            assert request.header("prefer") == "reply"
            assert request.header("ce-knativebrokerttl") == ""

    asyncio.run(scenario())


def test_a_reply_goes_to_the_same_broker(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"first": _answering(_event("scored"))})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("first", filter={"type": "order"})
            rig.subscribe("second", filter={"type": "scored"})
            await rig.emit("order")
            (request,) = await rig.gateway.until("second", 1)
            assert request.body == b'{"score": 1}'
            order, scored = await rig.settled()
            (delivery,) = order["deliveries"]
            assert delivery["replies"] == [scored["seq"]]
            assert scored["cause"] == delivery["id"]

    asyncio.run(scenario())


def test_what_fails_is_tried_again_with_the_same_id(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"flaky": _answering(Reply(503), Reply(404), Reply(204))})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("flaky", retry=3, backoff=_backoff())
            await rig.emit("order", id="same")
            sent = await rig.gateway.until("flaky", 3)
            assert [each.header("ce-id") for each in sent] == ["same"] * 3
            (event,) = await rig.settled()
            assert event["deliveries"][0]["state"] == "delivered"
            assert event["deliveries"][0]["failures"] == 2

    asyncio.run(scenario())


def test_a_refusal_is_not_tried_again_and_becomes_a_dead_letter(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"strict": _answering(Reply(400, [], b"no such\nfield"))})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("strict", retry=3, dead_letter="ksvc:audit")
            await rig.emit("order", {"n": 1})
            (letter,) = await rig.gateway.until("audit", 1)
            assert len(rig.gateway.sent["strict"]) == 1
            assert letter.header("ce-knativeerrorcode") == "400"
            assert letter.header("ce-knativeerrordest") == "ksvc:strict"
            error = base64.b64decode(letter.header("ce-knativeerrordata"))
            assert error == b"no suchfield"
            assert letter.body == b'{"n":1}'
            (event,) = await rig.settled()
            assert event["deliveries"][0]["state"] == "dead"

    asyncio.run(scenario())


def test_a_reply_that_is_no_event_counts_as_a_failure(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"plain": _answering(Reply(200, [], b'{"score": 1}'))})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("plain", retry=1, backoff=_backoff())
            await rig.emit("order")
            (event,) = await rig.settled()
            (delivery,) = event["deliveries"]
            assert (delivery["state"], delivery["status"]) == ("lost", 502)
            assert len(rig.gateway.sent["plain"]) == 2

    asyncio.run(scenario())


def test_an_event_goes_round_no_more_than_knative_lets_it(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"echo": _answering(_event("order"))})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("echo", filter={"type": "order"})
            await rig.emit("order")
            await rig.settled()
            assert len(rig.gateway.sent["echo"]) == 255

    asyncio.run(scenario())


def test_what_a_deleted_trigger_had_is_dropped(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"down": _answering(Reply(503))})
        async with running(state, gateway=gateway) as rig:
            trigger = rig.subscribe("down", retry=9, backoff=_backoff("1h"))
            await rig.emit("order")
            await rig.gateway.until("down", 1)
            rig.objects.remove(kinds.TRIGGER, "default", trigger["metadata"]["name"])
            (event,) = await rig.settled()
            assert event["deliveries"][0]["state"] == "dropped"

    asyncio.run(scenario())


def test_much_that_a_deleted_trigger_had_is_dropped_in_parts(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_DROPPED_AT_ONCE", 2)

    async def scenario() -> None:
        gateway = FakeGateway({"down": _answering(Reply(503))})
        async with running(state, gateway=gateway) as rig:
            trigger = rig.subscribe("down", retry=9, backoff=_backoff("1h"))
            for number in range(5):
                await rig.emit("order", id=str(number))
            await rig.gateway.until("down", 5)
            rig.objects.remove(kinds.TRIGGER, "default", trigger["metadata"]["name"])
            events = await rig.settled()
            assert [each["deliveries"][0]["state"] for each in events] == ["dropped"] * 5

    asyncio.run(scenario())


def test_a_batch_is_taken_whole_or_not_at_all(state: Path) -> None:
    async def scenario() -> None:
        async with running(state) as rig:
            rig.subscribe("takes")
            good = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
            bad = {**good, "id": ""}
            kind = "application/cloudevents-batch+json"
            refused = await rig.post(msgspec.json.encode([good, bad]), kind)
            assert refused.status == 400
            assert b"[1] id: is missing" in refused.body  # type: ignore[operator]
            assert (
                await rig.post(msgspec.json.encode([good, {**good, "id": "2"}]), kind)
            ).status == 202
            await rig.settled()
            assert [each.header("ce-id") for each in rig.gateway.sent["takes"]] == ["1", "2"]

    asyncio.run(scenario())


def test_what_is_not_done_goes_on_after_a_restart(state: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway({"slow": _never})
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("slow")
            for number in range(300):
                await rig.emit("order", id=str(number))
            await gateway.until("slow", 100)
            objects = rig.objects
        async with running(state, objects, FakeGateway()) as rig:
            await rig.settled()
            ids = {each.header("ce-id") for each in rig.gateway.sent["slow"]}
            assert ids == {str(number) for number in range(300)}

    asyncio.run(scenario())


async def _never(_request: Request) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


def _backoff(delay: str = "0.1s") -> Backoff:
    return Backoff("exponential", delay)
