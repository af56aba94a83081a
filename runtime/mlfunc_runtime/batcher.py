"""Which requests go into the next batch, and the slots that run them.

Late binding, no timer: a batch is formed when a slot is free, out of what waits then, oldest first.
While a slot works, the next batch gathers by itself; a lone request never waits.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from mlfunc_runtime.messages import Gone
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.executor import Mailbox, Slot
    from mlfunc_runtime.messages import Request

    # A batch in, one outcome each out: a value, or the exception that fails that one alone.
    Run = Callable[[Sequence["Item"]], Sequence[Any]]


class Item:
    """One request's place in the queue and, later, its outcome."""

    __slots__ = ("arguments", "done", "enqueued", "finished", "outcome", "request", "started")

    def __init__(self, request: Request, arguments: dict[str, Any]) -> None:
        self.request = request
        self.arguments = arguments
        self.outcome: Any = None
        self.done = Event()
        self.enqueued = time.perf_counter()
        self.started = self.finished = 0.0


class Batcher:
    """Queue in front of the slots. All methods run on the hub."""

    def __init__(
        self,
        run: Run,
        slots: Sequence[Slot],
        mailbox: Mailbox,
        *,
        max_size: int,
        observe: Callable[[int, float], None],
    ) -> None:
        self._run = run
        self._idle = list(slots)
        self._mailbox = mailbox
        self._max_size = max_size
        self._observe = observe
        self._waiting: deque[Item] = deque()

    @property
    def waiting(self) -> int:
        """Requests that have no slot yet."""
        return len(self._waiting)

    def predict(self, request: Request, arguments: dict[str, Any]) -> Any:
        """Wait for a slot and the prediction; raise what `predict` raised.

        Whoever stops waiting has cancelled the request.
        """
        item = Item(request, arguments)
        self._waiting.append(item)
        self._dispatch()
        try:
            self._wait(item)
        except BaseException:
            self._give_up(item)
            raise
        if isinstance(item.outcome, Stream):
            request.streams.append(item.outcome)
        request.timings.queue = item.started - item.enqueued
        request.timings.predict = item.finished - item.started
        if isinstance(item.outcome, BaseException):
            raise item.outcome
        return item.outcome

    def _wait(self, item: Item) -> None:
        """A client that leaves takes its request out of the queue, not out of a slot."""
        try:
            item.done.wait()
        except Gone:
            if not item.request.begun:
                raise
            item.done.wait()

    def _give_up(self, item: Item) -> None:
        """Out of the queue if it is there still; if it runs, nobody reads what comes of it."""
        item.request.cancelled = True
        if item in self._waiting:
            self._waiting.remove(item)
        if isinstance(item.outcome, Stream):
            item.outcome.close()

    def _dispatch(self) -> None:
        while self._idle and (batch := self._next_batch()):
            slot = self._idle.pop()
            slot.run(lambda slot=slot, batch=batch: self._work(slot, batch))  # type: ignore[misc]  # mypy: lambda defaults

    def _next_batch(self) -> list[Item]:
        batch: list[Item] = []
        while self._waiting and len(batch) < self._max_size:
            batch.append(self._waiting.popleft())
            batch[-1].request.begun = True
        return batch

    def _work(self, slot: Slot, batch: list[Item]) -> None:
        """In the slot's thread.

        A stream is answered when it begins and keeps the slot until it ends.
        """
        started = time.perf_counter()
        outcomes = self._run(batch)
        finished = time.perf_counter()
        streams = [outcome for outcome in outcomes if isinstance(outcome, Stream)]
        if streams:
            self._mailbox.post(lambda: self._answer(batch, outcomes, started, finished))
            for stream in streams:
                stream.pump()
            self._mailbox.post(
                lambda: self._release(slot, len(batch), time.perf_counter() - started)
            )
        else:
            self._mailbox.post(lambda: self._finish(slot, batch, outcomes, started, finished))

    def _finish(
        self,
        slot: Slot,
        batch: list[Item],
        outcomes: Sequence[Any],
        started: float,
        finished: float,
    ) -> None:
        """Back on the hub. The slot gets its next batch before the answers of this one go out."""
        self._release(slot, len(batch), finished - started)
        self._answer(batch, outcomes, started, finished)

    def _release(self, slot: Slot, size: int, busy: float) -> None:
        self._idle.append(slot)
        self._observe(size, busy)
        self._dispatch()

    def _answer(
        self, batch: list[Item], outcomes: Sequence[Any], started: float, finished: float
    ) -> None:
        for item, outcome in zip(batch, outcomes, strict=True):
            item.started, item.finished, item.outcome = started, finished, outcome
            item.done.set()
            if item.request.cancelled and isinstance(outcome, Stream):
                outcome.close()
