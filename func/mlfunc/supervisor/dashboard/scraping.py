"""What an instance says of itself on its metrics port: slots, hooks, memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlfunc.supervisor.parts import Instance

_PATIENCE = 2.0  # seconds; one that does not answer is shown without these numbers
_LONGEST = 1 << 20
_AT_ONCE = 8
_WANTED = {
    "mlfunc_slots",
    "mlfunc_slot_busy_seconds_total",
    "mlfunc_queue",
    "mlfunc_hooks_backlog",
    "process_resident_memory_bytes",
}


@dataclass(frozen=True)
class Scraped:
    """Of an instance: `busy` is the share of its slots' time since it was last asked."""

    slots: int = 0
    busy: float | None = None
    queue: int = 0
    backlog: int = 0
    memory: int = 0


class _Busy(NamedTuple):
    at: float
    seconds: float


class Scraper:
    """Asks instances, side by side, and remembers what it needs of the last time."""

    def __init__(self) -> None:
        self._before: dict[str, _Busy] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def scrape(self, instances: Sequence[Instance]) -> Mapping[str, Scraped]:
        """By name; those that do not answer are missing."""
        asked = [each for each in instances if each.phase == "ready" and each.metrics_port]
        replies = await asyncio.gather(*(self._one(each) for each in asked))
        named = {each.name for each in asked}
        self._before = {name: kept for name, kept in self._before.items() if name in named}
        return {
            each.name: reply
            for each, reply in zip(asked, replies, strict=True)
            if reply is not None
        }

    async def _one(self, instance: Instance) -> Scraped | None:
        try:
            async with self._room, asyncio.timeout(_PATIENCE):
                values = parse(await _get(instance.metrics_port or 0))
        except (OSError, TimeoutError, ValueError):
            return None  # it ends, has no time, or says what is no number
        return self._read(instance.name, values)

    def _read(self, name: str, values: Mapping[str, float]) -> Scraped:
        slots = int(values.get("mlfunc_slots", 0))
        now = _Busy(
            asyncio.get_running_loop().time(), values.get("mlfunc_slot_busy_seconds_total", 0.0)
        )
        before, self._before[name] = self._before.get(name), now
        return Scraped(
            slots,
            _share(before, now, slots),
            int(values.get("mlfunc_queue", 0)),
            int(values.get("mlfunc_hooks_backlog", 0)),
            int(values.get("process_resident_memory_bytes", 0)),
        )


def parse(text: str) -> dict[str, float]:
    """The metrics wanted here, which have no labels, out of Prometheus text."""
    return dict(_samples(text))


def _samples(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name in _WANTED:
            yield name, float(value)


def _share(before: _Busy | None, now: _Busy, slots: int) -> float | None:
    if before is None or not slots or now.at <= before.at:
        return None
    share = (now.seconds - before.seconds) / (now.at - before.at) / slots
    return round(min(1.0, max(0.0, share)), 3)


async def _get(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST)
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        reply = await _whole(reader)
    finally:
        writer.close()
    return reply.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


async def _whole(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while size < _LONGEST and (part := await reader.read(65_536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
