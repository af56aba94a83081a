"""A thread that writes to SQLite: whatever has come while it wrote goes into its next commit.

A commit waits for the disk (synchronous = FULL, so that what was accepted outlives a power
failure), which takes as long for one event as for a hundred. Objects and events share one: SQLite
lets one connection write at a time, and another would sleep until it may.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mlfunc.supervisor.state import database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlfunc.supervisor.state.database import Schema

T = TypeVar("T")

_AT_ONCE = 500


@dataclass(frozen=True)
class _Work:
    do: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Committer:
    """Of one file, on the event loop that makes it."""

    def __init__(self, path: Path, *schemas: Schema) -> None:
        self._loop = asyncio.get_running_loop()
        self._works: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._database = database.open_(path, *schemas)
        self._database.rows("PRAGMA foreign_keys = ON")
        self._thread = threading.Thread(target=self._run, name="commits")
        self._thread.start()

    def do(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have this done in a transaction; it may be done again, when one beside it fails.

        The future has its result once that is on the disk, else what is wrong with it.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        self._works.put(_Work(work, done))
        return done

    async def close(self) -> None:
        """Once all is done that was asked for."""
        self._works.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while works := self._next():
            self._loop.call_soon_threadsafe(_resolve, self._commit(works))
        self._database.close()

    def _next(self) -> list[_Work]:
        """What waits, at least one; nothing: it is the end."""
        found: list[_Work] = []
        while (work := self._works.get()) is not None:
            found.append(work)
            if len(found) == _AT_ONCE or self._works.empty():
                return found
        if found:
            self._works.put(None)
        return found

    def _commit(self, works: Sequence[_Work]) -> list[tuple[_Work, Any]]:
        """In one transaction; if that fails, each in one of its own, to see whose fault it is."""
        try:
            with self._database.transaction() as connection:
                return [(work, work.do(connection)) for work in works]
        except Exception as error:  # whatever it is, it is raised where this was asked for
            if len(works) == 1:
                return [(works[0], error)]
        return [pair for work in works for pair in self._commit([work])]


def _resolve(results: list[tuple[_Work, Any]]) -> None:
    for work, result in results:
        if work.done.done():  # whoever asked is gone
            continue
        if isinstance(result, Exception):
            work.done.set_exception(result)
        else:
            work.done.set_result(result)
