"""Objects of a file, as a supervisor has them; to be made on a loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from mlfunc.supervisor.state import keeping
from mlfunc.supervisor.state.committing import Committer
from mlfunc.supervisor.state.keeping import Kept
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

T = TypeVar("T")


class Opened:
    """Them, until it is closed; without a file they are in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._kept: Kept | None = None
        if path is not None:
            self._committer = Committer(path, keeping.SCHEMA)
            self._kept = Kept(path, self._committer)
        self.objects = Objects(self._kept)

    async def close(self) -> None:
        """What is due is written."""
        if self._kept is not None:
            await self._kept.close()
            await self._committer.close()

    async def bound(self, pages: int | None = None) -> None:
        """The disk has room for so many pages of the file, as SQLite sees it; None: for no more."""

        def bound(db: Any) -> None:
            ((now,),) = db.execute("PRAGMA page_count").fetchall()
            db.execute(f"PRAGMA max_page_count = {pages or now}")

        await self._committer.do(bound)


class Machine:
    """Objects of a file and their loop, one step at a time: the file may be opened anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._open()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Until it is done."""
        return self._loop.run_until_complete(work)

    def again(self) -> Objects:
        """As after a start."""
        self.do(self.opened.close())
        self._open()
        return self.opened.objects

    def close(self) -> None:
        """For good."""
        self.do(self.opened.close())
        self._loop.close()

    def _open(self) -> None:
        async def made() -> Opened:
            return Opened(self._path)

        self.opened = self.do(made())
