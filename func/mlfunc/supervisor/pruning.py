"""What no revision needs any more is removed: its release, with its models, and its logs.

That is looked at when a supervisor begins, soon after a revision has gone, and now and then: what
was too young to be removed is not for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.supervisor import releases, weights
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from mlfunc.supervisor.fleet.logs import Logs
    from mlfunc.supervisor.fleet.processes import Processes
    from mlfunc.supervisor.home import Home
    from mlfunc.supervisor.state.objects import Change, Objects

_SOON_SECONDS = 10.0
_SELDOM_SECONDS = 3600.0


class Pruning:
    """Goes on from `start` to `close`."""

    def __init__(self, home: Home, objects: Objects, fleet: Processes, logs: Logs) -> None:
        self._home = home
        self._objects = objects
        self._fleet = fleet
        self._logs = logs
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Once now, and then whenever there may be something."""
        self._objects.listen(self._changed)
        self._prune()

    async def close(self) -> None:
        """What has begun is done."""
        if self._timer is not None:
            self._timer.cancel()
        if self._work is not None:
            await self._work

    def _changed(self, change: Change) -> None:
        if change.kind == kinds.REVISION and change.happening == "DELETED":
            self._after(_SOON_SECONDS)

    def _after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._prune)

    def _prune(self) -> None:
        """In a thread: a project may have many files."""
        if self._work is not None and not self._work.done():
            self._after(_SOON_SECONDS)  # what has begun may have looked too early
            return
        self._after(_SELDOM_SECONDS)
        found = self._objects.list(kinds.REVISION)
        revisions = {Key(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found}
        images = (each["spec"]["containers"][0].get("image", "") for each in found)
        digests = {digest for image in images if (digest := releases.digest_of(image))}
        kept = revisions | self._logs.revisions()
        self._work = self._loop.run_in_executor(
            None, self._remove, digests, self._fleet.folders(), kept
        )

    def _remove(self, digests: set[str], folders: set[str], revisions: set[Key]) -> None:
        releases.prune(self._home, digests, folders)
        weights.prune(self._home)
        self._logs.forget(revisions)
