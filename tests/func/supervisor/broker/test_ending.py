"""A broker before a real gateway, when both end: what has no answer is there at the next start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.parts import Key, Route, Target

from tests.rig.broker import running

if TYPE_CHECKING:
    from pathlib import Path

REVISION = Key("default", "takes-00001")


def _gateway() -> Any:
    """With a function that has no instance yet."""
    gateway = Gateway()
    gateway.serve(REVISION, 0, 60.0)
    gateway.route([Route(Key("default", "takes"), (Target(REVISION, 100),))])
    return gateway


async def _states(broker: Any) -> list[str]:
    return [one["state"] for event in await broker.recent() for one in event["deliveries"]]


def test_an_event_that_waits_for_an_instance_outlives_a_stop(state: Path) -> None:
    async def scenario() -> None:
        gateway = _gateway()
        async with running(state, gateway=gateway) as rig:
            rig.subscribe("takes", retry=0)
            assert (await rig.emit("order")).status == 202
            while not gateway.load(REVISION).waiting:
                await asyncio.sleep(0)
            rig.broker.rest()
            await gateway.close()
            assert (await rig.emit("order", id="late")).status == 202
        async with running(state, rig.objects) as again:
            sent = await again.gateway.until("takes", 2)
            assert [each.header("ce-id") for each in sent] == ["1", "late"]
            await again.settled()
            assert await _states(again.broker) == ["delivered", "delivered"]

    asyncio.run(scenario())


def test_an_event_that_is_in_an_instance_is_done_before_the_end(state: Path) -> None:
    async def scenario() -> None:
        came, go = asyncio.Event(), asyncio.Event()

        async def instance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            came.set()
            await go.wait()
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        gateway = _gateway()
        server = await asyncio.start_server(instance, "127.0.0.1", 0)
        gateway.join(REVISION, "a", server.sockets[0].getsockname()[1])
        async with server, running(state, gateway=gateway) as rig:
            rig.subscribe("takes", retry=0)
            await rig.emit("order")
            await came.wait()
            rig.broker.rest()
            closing = asyncio.ensure_future(gateway.close(60.0))
            await asyncio.sleep(0)
            assert not closing.done()
            go.set()
            await closing
        async with running(state, rig.objects) as again:
            assert await _states(again.broker) == ["delivered"]

    asyncio.run(scenario())
