"""Live logs: the lines of all instances of a function or a revision, those to come included."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from mlfunc.supervisor.dashboard.sources import Logs
    from mlfunc.supervisor.parts import Instance

_TAIL = 200  # lines of each instance to begin with
_AT_ONCE = 500  # a page gets so many lines each time: a flood is read no faster than it is shown
_LONGEST = 4000  # characters of a line
_GATHER = 0.15  # seconds
_HEARTBEAT = 15.0  # seconds; by it a page that has gone is noticed


@dataclass(frozen=True)
class Line:
    """One, as the page gets it; `time` as RFC 3339."""

    instance: str
    time: str
    text: str


class Following:
    """The lines of those instances that are wanted; use it as a context."""

    def __init__(self, logs: Logs, wanted: Callable[[Instance], bool]) -> None:
        self._logs = logs
        self._wanted = wanted
        self._lines: asyncio.Queue[Line] = asyncio.Queue(_AT_ONCE)
        self._news = asyncio.Event()
        self._ended = False
        self._readers: dict[str, asyncio.Task[None]] = {}

    def tell(self, instance: Instance) -> None:
        """An instance is there, or has changed."""
        if instance.phase == "ended" or not self._wanted(instance):
            return
        if instance.name not in self._readers:
            reader = asyncio.create_task(self._read(instance))
            self._readers[instance.name] = reader
            reader.add_done_callback(lambda _: self._readers.pop(instance.name, None))

    async def batches(self) -> AsyncIterator[Sequence[Line]]:
        """Lines as they come, some at a time; an empty batch says that nothing came for long."""
        while not self._ended:
            try:
                async with asyncio.timeout(_HEARTBEAT):
                    await self._news.wait()
            except TimeoutError:
                yield ()
                continue
            await asyncio.sleep(_GATHER)  # what belongs together is drawn at once
            self._news.clear()
            if lines := self._rest():
                yield lines

    def end(self) -> None:
        """There is no more to come."""
        self._ended = True
        self._news.set()

    async def close(self) -> None:
        """Read no more."""
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def _rest(self) -> list[Line]:
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    async def _read(self, instance: Instance) -> None:
        namespace, name = instance.revision.namespace, instance.name
        async for raw in self._logs.follow(namespace, name, _TAIL):
            await self._lines.put(line(name, raw))
            self._news.set()


def line(instance: str, raw: bytes) -> Line:
    """What a stored line says, `TIME TEXT`; a very long one without its end."""
    time, _, text = raw.decode("utf-8", "replace").partition(" ")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    return Line(instance, time, text)
