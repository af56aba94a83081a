"""A watch: each change of what is selected, as a line of JSON, in the order of the versions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from mlfunc.supervisor.api import refusals
from mlfunc.supervisor.state.objects import Forgotten

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]

# The client takes a connection that says nothing for longer than 90 s for dead.
_BOOKMARK_SECONDS = 45.0


class Watch:
    """Of objects of a kind that `matches` selects, from a version on; None: from all that is there.

    It reads what the objects remember, and has no queue of its own: a client that reads too slowly
    is told that its version is forgotten.
    """

    def __init__(
        self,
        objects: Objects,
        kind: Kind,
        matches: Callable[[Object], bool],
        version: int | None,
        seconds: float,
    ) -> None:
        self._objects = objects
        self._kind = kind
        self._matches = matches
        self._version = version
        self._end = asyncio.get_running_loop().time() + seconds

    async def lines(self) -> AsyncIterator[bytes]:
        """Until its time is over."""
        news = asyncio.Event()
        silence = self._objects.listen(lambda _: news.set())
        try:
            yield self._first()
            while self._left() > 0:
                news.clear()
                yield self._fresh()
                yield await self._bookmark(news)
        except Forgotten:
            told = refusals.expired(self._version or 0, self._objects.version).status
            yield _line("ERROR", told)
        finally:
            silence()

    def _left(self) -> float:
        return self._end - asyncio.get_running_loop().time()

    def _first(self) -> bytes:
        """All that is there, for who names no version."""
        if self._version is not None:
            return b""
        self._version = self._objects.version
        found = self._objects.list(self._kind)
        return b"".join(_line("ADDED", each) for each in found if self._matches(each))

    def _fresh(self) -> bytes:
        """What has happened since."""
        changes = self._objects.since(self._version or 0)
        self._version = self._objects.version
        return b"".join(self._told(each) for each in changes if each.kind == self._kind)

    def _told(self, change: Change) -> bytes:
        """An object that is selected no more is deleted, for who watches."""
        now = change.happening != "DELETED" and self._matches(change.object)
        before = change.before is not None and self._matches(change.before)
        if now:
            return _line("MODIFIED" if before else "ADDED", change.object)
        return _line("DELETED", change.object) if before else b""

    async def _bookmark(self, news: asyncio.Event) -> bytes:
        """Wait for something; how far it is, if nothing comes for long, and at the end."""
        try:
            async with asyncio.timeout(min(_BOOKMARK_SECONDS, self._left())):
                await news.wait()
        except TimeoutError:
            meta = {"resourceVersion": str(self._version)}
            head = {"kind": self._kind.name, "apiVersion": self._kind.api_version}
            return _line("BOOKMARK", {**head, "metadata": meta})
        return b""


def _line(happening: str, found: Object) -> bytes:
    return msgspec.json.encode({"type": happening, "object": found}) + b"\n"
