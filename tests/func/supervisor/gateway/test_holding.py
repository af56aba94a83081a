"""Who gets a place, who waits for one, and for how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway import holding
from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.http.messages import Reply, Request
from mlfunc.supervisor.parts import Key, Route, Target

from tests.func.supervisor.gateway.rig import ECHO, SERVICE, is_idle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

GET = Request("GET", "/")


class Held:
    """An instance that keeps each request until it is told to answer; bodies say whose they are."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.port = 0
        self._waiting: dict[str, asyncio.StreamWriter] = {}
        self._arrived = asyncio.Condition()

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def has(self, *names: str) -> None:
        """Until all of these are there."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: set(names) <= set(self._waiting))

    async def answer(self, name: str) -> None:
        """Let it go."""
        await self.has(name)
        self._waiting.pop(name).write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                name = line.split()[1].decode().lstrip("/")
                await reader.readuntil(b"\r\n\r\n")
                async with self._arrived:
                    self.got.append(name)
                    self._waiting[name] = writer
                    self._arrived.notify_all()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def served(
    test: Callable[[Gateway, list[Held]], Awaitable[None]],
    instances: int = 2,
    concurrency: int = 1,
    timeout: float = 20,
) -> None:
    """Run a test beside a gateway with instances a, b, …, which have not joined yet."""

    async def run() -> None:
        gateway = Gateway()
        gateway.serve(ECHO, concurrency, timeout)
        gateway.route([Route(SERVICE, (Target(ECHO, 100),))])
        held = [Held() for _ in range(instances)]
        servers = [await each.serve() for each in held]
        try:
            await asyncio.wait_for(test(gateway, held), 30)
        finally:
            await gateway.close(0)
            for each in servers:
                each.close()

    asyncio.run(run())


def send(gateway: Gateway, name: str, timeout: float = 20.0) -> asyncio.Task[Reply]:
    return asyncio.ensure_future(gateway.send(SERVICE, Request("POST", f"/{name}"), timeout))


async def turn() -> None:
    """What was begun gets as far as it can without anybody else."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_no_instance_has_more_requests_than_it_may_and_those_that_wait_are_served_in_order() -> (
    None
):
    async def test(gateway: Gateway, held: list[Held]) -> None:
        (a,) = held
        gateway.join(ECHO, "a", a.port)
        tasks = [send(gateway, name) for name in "123456"]
        for first, second in ("12", "34", "56"):
            await a.has(first, second)
            assert gateway.load(ECHO).in_flight == 2
            await a.answer(second)
            await a.answer(first)
        assert [reply.status for reply in await asyncio.gather(*tasks)] == [200] * 6
        assert sorted(a.got[:2]) == ["1", "2"]
        assert sorted(a.got[2:4]) == ["3", "4"]

    served(test, instances=1, concurrency=2)


def test_a_request_goes_to_the_instance_that_has_the_fewest() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        a, b = held
        gateway.join(ECHO, "a", a.port)
        gateway.join(ECHO, "b", b.port)
        tasks = [send(gateway, name) for name in "1234"]
        await asyncio.gather(a.has("1", "3"), b.has("2", "4"))
        await b.answer("2")
        await tasks[1]
        tasks.append(send(gateway, "5"))
        await b.has("5")
        for each, names in ((a, "13"), (b, "45")):
            for name in names:
                await each.answer(name)
        await asyncio.gather(*tasks)

    served(test, concurrency=3)


def test_an_instance_that_joins_gets_what_waits() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        a, b = held
        woken: list[Key] = []
        gateway.wake(woken.append)
        tasks = [send(gateway, name) for name in "12"]
        await turn()
        load = gateway.load(ECHO)
        assert (load.waiting, load.in_flight, load.requests) == (2, 0, 2)
        assert woken == [ECHO]  # once: whoever is told knows
        gateway.join(ECHO, "a", a.port)
        await a.has("1")
        gateway.join(ECHO, "b", b.port)
        await b.has("2")
        await a.answer("1")
        await b.answer("2")
        assert [reply.status for reply in await asyncio.gather(*tasks)] == [200, 200]
        (stats,) = gateway.stats()
        assert stats.held == 2
        assert sum(stats.waits) == 2

    served(test)


def test_an_instance_that_leaves_gets_no_more_and_ends_what_it_has() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        a, b = held
        gateway.join(ECHO, "a", a.port)
        first = send(gateway, "1")
        await a.has("1")
        gateway.join(ECHO, "b", b.port)
        gateway.leave(ECHO, "a")
        second, third = send(gateway, "2"), send(gateway, "3")
        await b.has("2")
        assert not is_idle(gateway)
        await a.answer("1")
        assert (await first).status == 200
        assert is_idle(gateway)
        await b.answer("2")
        await b.answer("3")
        await asyncio.gather(second, third)
        assert a.got == ["1"]

    served(test)


def test_who_waits_when_the_last_instance_leaves_wakes_the_revision() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        a, b = held
        woken: list[Key] = []
        gateway.wake(woken.append)
        gateway.join(ECHO, "a", a.port)
        tasks = [send(gateway, name) for name in "12"]
        await a.has("1")
        assert woken == []
        gateway.leave(ECHO, "a")
        assert woken == [ECHO]
        gateway.join(ECHO, "b", b.port)
        await b.answer("2")
        await a.answer("1")
        await asyncio.gather(*tasks)

    served(test)


def test_an_instance_that_comes_again_under_its_name_is_another() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        a, b = held
        gateway.join(ECHO, "a", a.port)
        first = send(gateway, "1")
        await a.has("1")
        gateway.join(ECHO, "a", b.port)
        second = send(gateway, "2")
        await b.answer("2")
        await second
        await a.answer("1")
        assert (await first).status == 200
        third = send(gateway, "3")
        await b.answer("3")
        await third

    served(test)


def test_a_request_that_waits_too_long_is_out_of_the_line() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        reply = await gateway.send(SERVICE, GET, 20)
        assert reply.status == 504
        assert b"no instance had room within 0.1 s" in bytes_of(reply)
        gateway.join(ECHO, "a", held[0].port)
        await turn()
        assert held[0].got == []
        assert gateway.load(ECHO).waiting == 0

    served(test, timeout=0.1)


def test_who_does_not_wait_any_more_is_out_of_the_line() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        first, second = send(gateway, "1"), send(gateway, "2")
        await turn()
        first.cancel()
        await turn()
        gateway.join(ECHO, "a", held[0].port)
        await held[0].answer("2")
        assert (await second).status == 200
        assert held[0].got == ["2"]
        assert gateway.stats()[0].statuses == {499: 1, 200: 1}

    served(test)


def test_a_line_that_is_full_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "LINE_LIMIT", 2)

    async def test(gateway: Gateway, held: list[Held]) -> None:
        tasks = [send(gateway, name) for name in "123"]
        reply = await tasks[2]
        assert reply.status == 503
        assert ("retry-after", "1") in reply.headers
        gateway.join(ECHO, "a", held[0].port)
        for name in "12":
            await held[0].answer(name)
        assert [(await task).status for task in tasks[:2]] == [200, 200]

    served(test)


def test_bodies_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "LINE_BYTES", 100_000)

    async def test(gateway: Gateway, held: list[Held]) -> None:
        large = Request("POST", "/", body=bytes(60_000))
        tasks = [asyncio.ensure_future(gateway.send(SERVICE, large, 20)) for _ in range(3)]
        reply = await tasks[2]
        assert reply.status == 503
        for task in tasks[:2]:
            task.cancel()
        await turn()
        waits = asyncio.ensure_future(gateway.send(SERVICE, large, 20))
        await turn()
        assert gateway.load(ECHO).waiting == 1
        waits.cancel()
        await turn()

    served(test)


def test_who_waits_for_a_revision_that_is_gone_is_told() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        waits = send(gateway, "1")
        await turn()
        gateway.forget(ECHO)
        assert (await waits).status == 503
        assert (await gateway.send(SERVICE, GET, 1)).status == 503
        gateway.route([])
        assert (await gateway.send(SERVICE, GET, 1)).status == 404

    served(test)


def test_traffic_is_split_by_percent() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        green = Key("default", "echo-00002")
        gateway.serve(green, 1, 20)
        gateway.route([Route(SERVICE, (Target(ECHO, 80), Target(green, 20)), {"new": green})])
        tasks = [send(gateway, str(number)) for number in range(1000)]
        tagged = Request("GET", "/", [("Knative-Serving-Tag", "new")])
        tasks += [asyncio.ensure_future(gateway.send(SERVICE, tagged, 20)) for _ in range(1000)]
        await turn()
        assert 1100 < gateway.load(green).waiting < 1300
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gateway.load(green).waiting == 0

    served(test)


def test_a_reply_from_within_that_takes_too_long_is_a_504_and_is_not_waited_for() -> None:
    async def test(gateway: Gateway, held: list[Held]) -> None:
        gateway.join(ECHO, "a", held[0].port)
        reply = await gateway.send(SERVICE, Request("POST", "/1"), 0.1)
        assert reply.status == 504
        assert is_idle(gateway)

    served(test)


def bytes_of(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    return reply.body
