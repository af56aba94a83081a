"""What a part has arrives at the others in their own words."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.supervisor import fitting
from mlfunc.supervisor.gateway.meter import BOUNDS, Stats
from mlfunc.supervisor.http.messages import Reply, Request
from mlfunc.supervisor.parts import Key
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRIGGER = {
    "apiVersion": "eventing.knative.dev/v1",
    "kind": "Trigger",
    "metadata": {"namespace": "default", "name": "t"},
    "spec": {"subscriber": {"ref": {"kind": "Service", "name": "ocr"}}},
}


def test_what_goes_on_for_ever_ends_when_the_supervisor_does() -> None:
    closed: list[bool] = []

    async def for_ever() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def handler(_: Request) -> Reply:
        return Reply(200, body=for_ever())

    async def heard() -> list[bytes]:
        ending = asyncio.Event()
        reply = await fitting.until(ending, handler)(Request("GET", "/"))
        assert not isinstance(reply.body, bytes)
        found = []
        async for piece in reply.body:
            found.append(piece)
            ending.set()
        assert closed == [True]
        return found

    assert asyncio.run(heard()) == [b"first"]


def test_what_ends_by_itself_and_what_is_whole_is_as_it_was() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def handler(request: Request) -> Reply:
        return Reply(200, body=b"whole" if request.target == "/whole" else pieces())

    async def heard() -> tuple[Any, list[bytes]]:
        handle = fitting.until(asyncio.Event(), handler)
        whole = await handle(Request("GET", "/whole"))
        parted = await handle(Request("GET", "/"))
        assert not isinstance(parted.body, bytes)
        return whole.body, [piece async for piece in parted.body]

    assert asyncio.run(heard()) == (b"whole", [b"a", b"b"])


def test_a_page_that_its_reader_leaves_is_closed() -> None:
    closed: list[bool] = []

    async def for_ever() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def handler(_: Request) -> Reply:
        return Reply(200, body=for_ever())

    async def left() -> None:
        reply = await fitting.until(asyncio.Event(), handler)(Request("GET", "/"))
        async with aclosing(reply.body) as pieces:  # type: ignore[type-var]
            await anext(pieces)  # type: ignore[arg-type]
        assert closed == [True]

    asyncio.run(left())


def test_statuses_are_counted_by_class() -> None:
    stats = Stats(
        revision=Key("default", "ocr-00001"),
        requests=9,
        in_flight=1,
        waiting=2,
        instances={"a": 1},
        statuses={200: 3, 204: 1, 404: 1, 499: 1, 503: 2},
        times=(1,) * (len(BOUNDS) + 1),
        waits=(),
        held=4,
        repeated=0,
        broken=0,
    )

    counted = fitting.counted(stats)

    assert counted.statuses == {"2xx": 4, "4xx": 2, "5xx": 2}
    assert (counted.in_flight, counted.waiting, counted.held) == (1, 2, 4)
    assert counted.latencies.bounds == BOUNDS


@pytest.mark.parametrize(
    ("state", "phase", "failures", "shown"),
    [
        ("open", "subscriber", 0, "waiting"),
        ("open", "subscriber", 2, "retrying"),
        ("delivered", "subscriber", 1, "delivered"),
        ("open", "dead letter", 0, "dead"),
        ("dead", "dead letter", 0, "dead"),
        ("lost", "dead letter", 3, "lost"),
        ("dropped", "subscriber", 0, "dropped"),
    ],
)
def test_what_became_of_a_delivery(state: str, phase: str, failures: int, shown: str) -> None:
    objects = Objects()
    objects.write(TRIGGER)
    delivery = {
        "id": 7,
        "kind": "Trigger",
        "name": "t",
        "status": 200,
        "problem": "",
        "seconds": 0.1,
        "state": state,
        "phase": phase,
        "failures": failures,
        "replies": [8, 9],
    }
    told = {
        "seq": 3,
        "namespace": "default",
        "broker": "default",
        "data": "{}",
        "arrived": 1.0,
        "event": {"id": "a", "source": "/s", "type": "t"},
        "deliveries": [delivery],
    }

    passage = fitting.passage(told, objects)

    (found,) = passage.deliveries
    assert (passage.number, passage.id, passage.subject) == (3, "a", "")
    assert (found.subscriber, found.state, found.reply) == ("ocr", shown, 8)
