"""Clients and instances that do anything at any moment: nothing is lost count of, and no part breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from mlfunc.supervisor.http.messages import Request

from tests.func.supervisor.gateway.rig import ECHO, SERVICE, request, running, serve_echo

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.gateway import Gateway

    from tests.func.supervisor.gateway.rig import Running

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nok"
REPLIES = [OK, OK, OK, CHUNKS, LARGE, ENDLESS, b"HTTP/1.1 204 No Content\r\n\r\n", b"nonsense"]
BODY = bytes(200_000)
REQUESTS = [
    request(),
    request(line="HEAD / HTTP/1.1"),
    request("Content-Length: 3", line="POST / HTTP/1.1") + b"abc",
    request(f"Content-Length: {len(BODY)}", line="POST / HTTP/1.1") + BODY,
    request("Transfer-Encoding: chunked", line="POST / HTTP/1.1")
    + b"3\r\nabc\r\n" * 50
    + b"0\r\n\r\n",
    request("Expect: 100-continue", "Content-Length: 3", line="POST / HTTP/1.1") + b"abc",
    request("Connection: close"),
    request(line="GET / HTTP/1.0"),
    request(host="nobody.default.localhost"),
    request() * 20,
    b"nonsense\r\n\r\n",
]


class Instance:
    """Answers, or not, as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._server: asyncio.Server
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def end(self) -> None:
        self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n") and await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        act = self._chance.random()
        if act < 0.05:
            reset(writer)
            return False
        if act < 0.10:
            return False
        if act < 0.3:
            await asyncio.sleep(self._chance.random() * 0.05)
        reply = self._chance.choice(REPLIES)
        cut = self._chance.randrange(len(reply)) if act > 0.9 else len(reply)
        writer.write(reply[:cut])
        await writer.drain()
        if cut < len(reply) or reply in (ENDLESS, LARGE):
            return False
        # Bodies are not read apart: what follows the head is read up to its end, or never.
        return act < 0.85


def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):  # closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def client(port: int, chance: random.Random) -> None:
    """Some requests in some pieces, and then it leaves, at once or when it has heard enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for _ in range(chance.randrange(1, 5)):
            sent = chance.choice(REQUESTS)
            at = chance.randrange(len(sent) + 1)
            for piece in (sent[:at], sent[at:]):
                writer.write(piece)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.random() * 0.01)
            if chance.random() < 0.7:
                await asyncio.wait_for(reader.read(chance.choice([10, 100_000])), 0.1)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        if chance.random() < 0.3:
            reset(writer)
        writer.close()


async def within(gateway: Gateway, chance: random.Random) -> None:
    sent = Request("POST", "/", body=chance.choice([b"", b"abc", BODY]))
    await gateway.send(SERVICE, sent, chance.choice([0.01, 1.0]))


async def chaos(gate: Running, seed: int) -> None:
    """On the gateway's own loop, so that a seed decides as much as it can."""
    chance = random.Random(seed)
    gateway = gate.gateway
    instances = [Instance(chance) for _ in range(4)]
    for each in instances:
        await each.start()

    async def come_and_go() -> None:
        for number in range(40):
            each = chance.choice(instances)
            gateway.join(ECHO, f"{number % 5}", each.port)
            await asyncio.sleep(chance.random() * 0.02)
            gateway.leave(ECHO, f"{chance.randrange(5)}")
        gateway.join(ECHO, "last", instances[0].port)

    work = [client(gate.port, chance) for _ in range(100)]
    work += [within(gateway, chance) for _ in range(20)]
    await asyncio.gather(come_and_go(), *work)
    for number in range(5):
        gateway.leave(ECHO, str(number))
    for each in instances:
        each.end()


async def calm(gate: Running) -> None:
    """Until nobody waits for anything: the timeout ends the rest."""
    while True:
        (stats,) = gate.gateway.stats()
        if not (stats.waiting or stats.in_flight) and not gate.gateway._revisions[ECHO]._due:
            return
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_count_of(seed: int) -> None:
    with running() as gate:
        gate.call(lambda g: serve_echo(g, concurrency=3, timeout=1.0))
        gate.wait(chaos(gate, seed))
        gate.wait(calm(gate))
        (stats,) = gate.call(lambda g: g.stats())
        load = gate.call(lambda g: g.load(ECHO))
        assert (load.in_flight, load.waiting) == (0, 0)
        assert sum(stats.statuses.values()) == stats.requests == sum(stats.times)
        assert set(stats.instances) <= {"last"}
        assert gate.call(lambda g: g._revisions[ECHO]._bytes) == 0
