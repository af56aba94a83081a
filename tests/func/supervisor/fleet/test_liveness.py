"""Whether a process answers: asked in turns, it is lost when it has been silent for long enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlfunc.supervisor.fleet import liveness

if TYPE_CHECKING:
    import pytest


def asked_until_lost(answers: list[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often it is asked, when it gives these answers, one after the other, and then none."""
    monkeypatch.setattr(liveness, "_PERIOD", 0.01)
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        assert await reader.readline() == b"GET /health/liveness HTTP/1.1\r\n"
        asked += 1
        writer.write(answers.pop(0) if answers else b"")
        await writer.drain()
        writer.close()

    async def wait() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, asyncio.timeout(60):
            await liveness.lost(server.sockets[0].getsockname()[1], patience=0.03)

    asyncio.run(wait())
    return asked


OK = b"HTTP/1.1 200 OK\r\n\r\n"
BAD = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


def test_it_is_lost_after_so_many_silences_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_until_lost([OK, OK], monkeypatch) == 5
    assert asked_until_lost([BAD, b"", OK, BAD], monkeypatch) == 6


def test_one_where_nobody_listens_is_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_PERIOD", 0.01)

    asyncio.run(asyncio.wait_for(liveness.lost(1, patience=0.03), 60))
