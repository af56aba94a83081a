"""What instances say on their metrics port; real sockets, and the runtime's own text."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from mlfunc.supervisor.dashboard import scraping
from mlfunc.supervisor.dashboard.scraping import Scraper, parse

from tests.rig.platformpage import instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def saying(text: Callable[[], bytes]) -> AsyncIterator[int]:
    """A port on which each connection gets that, and is closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def metrics(**values: float) -> bytes:
    lines = "".join(
        f"# HELP {name} x\n# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items()
    )
    return b"HTTP/1.0 200 OK\r\n\r\n" + lines.encode()


def test_lines_with_labels_and_of_other_metrics_are_passed_over() -> None:
    text = 'mlfunc_slots 2\nmlfunc_requests_total{code="200"} 7\nmlfunc_ready 1\nmlfunc_queue 3.0\n'

    assert parse(text) == {"mlfunc_slots": 2.0, "mlfunc_queue": 3.0}


async def _twice() -> list[float | None]:
    seconds = iter((10.0, 1e9))
    scraper = Scraper()
    async with saying(
        lambda: metrics(mlfunc_slots=2, mlfunc_slot_busy_seconds_total=next(seconds))
    ) as port:
        asked = [instance("a", "hello-00001", metrics_port=port)]
        return [(await scraper.scrape(asked))["a"].busy for _ in range(2)]


def test_how_busy_slots_are_is_known_the_second_time_and_never_more_than_all() -> None:
    assert asyncio.run(_twice()) == [None, 1.0]


async def _one_hangs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(scraping, "_PATIENCE", 0.1)

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(never, "127.0.0.1", 0)
    async with hanging, saying(lambda: metrics(mlfunc_slots=1)) as port:
        asked = [
            instance("hangs", "hello-00001", metrics_port=hanging.sockets[0].getsockname()[1]),
            instance("answers", "hello-00001", metrics_port=port),
            instance("gone", "hello-00001", metrics_port=1),
            instance("loads", "hello-00001", "loading", metrics_port=port),
            instance("has none", "hello-00001", metrics_port=0),
        ]
        return set(await Scraper().scrape(asked))


def test_one_that_hangs_or_is_gone_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asyncio.run(_one_hangs(monkeypatch)) == {"answers"}


@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.0 500 no\r\n\r\nerror", b"\x00\xff", b"HTTP/1.0 200 OK\r\n\r\nmlfunc_slots x\n"],
)
def test_nonsense_is_no_number(reply: bytes) -> None:
    async def ask() -> bool:
        async with saying(lambda: reply) as port:
            found = await Scraper().scrape([instance("a", "hello-00001", metrics_port=port)])
            return "a" not in found or found["a"].slots == 0

    assert asyncio.run(ask())
