"""A thread that writes to SQLite: whatever has come while it wrote goes into its next commit.

A commit waits for the disk, which costs the same for one event as for a hundred.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

_AT_ONCE = 500
_BUSY_SECONDS = 30  # others write to the file, too


@dataclass(frozen=True)
class _Work:
    do: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Committer:
    """Of one file, on the event loop that makes it."""

    def __init__(self, path: Path, schema: str, synchronous: str = "FULL") -> None:
        self._loop = asyncio.get_running_loop()
        self._works: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._connection = _open(path, schema, synchronous)
        self._thread = threading.Thread(target=self._run, name="broker-commits")
        self._thread.start()

    def do(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have this done in a transaction; it may be done again, when one beside it fails.

        The future has its result once that is on the disk, else what SQLite says.
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
        self._connection.close()

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
            self._connection.execute("BEGIN IMMEDIATE")
            results = [(work, work.do(self._connection)) for work in works]
            self._connection.execute("COMMIT")
        except Exception as error:  # whatever it is, it is raised where this was asked for
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if len(works) == 1:
                return [(works[0], error)]
            return [pair for work in works for pair in self._commit([work])]
        return results


def _resolve(results: list[tuple[_Work, Any]]) -> None:
    for work, result in results:
        if work.done.done():  # whoever asked is gone
            continue
        if isinstance(result, Exception):
            work.done.set_exception(result)
        else:
            work.done.set_result(result)


def _open(path: Path, schema: str, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
