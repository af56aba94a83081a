"""What is due by one way (a Trigger, a PingSource), so many at once, in no order.

The queue is on the disk; of it, a lane has a page in memory. Events that have just come are taken
as they are, as long as nothing older waits on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError
from mlfunc.supervisor.broker import journal
from mlfunc.supervisor.broker.journal import Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from mlfunc.supervisor.broker.journal import Delivery
    from mlfunc.supervisor.broker.subscriptions import Way
    from mlfunc.supervisor.state.committing import Committer

AT_ONCE = 100
TROUBLE_SECONDS = 5.0  # until the disk is asked again
_PAGE = 200
_PAGE_BYTES = 16 << 20
_log = logging.getLogger(__name__)


class Lane:
    """`deliver` tries once, and says when it wants to be asked again, if it does."""

    def __init__(
        self,
        way: Way,
        committer: Committer,
        deliver: Callable[[Delivery], Awaitable[float | None]],
    ) -> None:
        self._way = way
        self._committer = committer
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0  # of what waits
        self._held: set[int] = set()  # what waits, and what is being delivered
        self._tasks: set[asyncio.Task[None]] = set()
        self._behind = False  # there may be more on the disk
        self._reading = False
        self._next: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def offer(self, delivery: Delivery) -> None:
        """What has just been kept."""
        full = len(self._waiting) >= _PAGE or self._bytes >= _PAGE_BYTES
        if self._reading or self._behind or full:
            self._behind = True
        else:
            self._hold(delivery)
        self._go()

    def look(self) -> None:
        """There is something on the disk."""
        self._behind = True
        self._go()

    async def close(self) -> None:
        """What is on its way is left: it is still on the disk."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go(self) -> None:
        while self._waiting and len(self._held) - len(self._waiting) < AT_ONCE and not self._closed:
            delivery = self._waiting.popleft()
            self._bytes -= _size(delivery)
            self._start(self._try(delivery))
        if self._behind and len(self._waiting) < AT_ONCE and not self._reading and not self._closed:
            self._behind, self._reading = False, True
            self._start(self._read())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hold(self, delivery: Delivery) -> None:
        if delivery.id not in self._held:
            self._held.add(delivery.id)
            self._waiting.append(delivery)
            self._bytes += _size(delivery)

    async def _try(self, delivery: Delivery) -> None:
        again = await self._deliver(delivery)
        self._held.discard(delivery.id)
        if again is not None:
            self._wake_at(again)
        self._go()

    async def _read(self) -> None:
        held = frozenset(self._held)
        try:
            page = await self._committer.do(
                lambda db: journal.due(db, self._way, held, _PAGE, _PAGE_BYTES)
            )
        except MlfuncError as error:
            _log.error(
                "%s %s: what is due cannot be read: %s", self._way.kind, self._way.name, error
            )
            page = Page([], has_more=False, later=journal.now() + TROUBLE_SECONDS)
        self._reading = False
        for each in page.deliveries:
            self._hold(each)
        self._behind = self._behind or page.has_more
        if page.later is not None:
            self._wake_at(page.later)
        self._go()

    def _wake_at(self, due: float) -> None:
        if self._next is not None and self._next <= due:
            return
        if self._timer:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_later(max(0.0, due - journal.now()), self._wake)

    def _wake(self) -> None:
        self._next = self._timer = None
        self.look()


def _size(delivery: Delivery) -> int:
    return len(delivery.event.data or b"")
