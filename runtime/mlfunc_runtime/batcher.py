"""The slots, and the queue in front of them.

Late binding, no timer: a slot's thread takes its next batch itself, the moment it is free, out of
what waits then. While it works the next batch gathers by itself; a lone request never waits.
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from functools import partial
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from mlfunc_runtime import batches
from mlfunc_runtime.batches import Item
from mlfunc_runtime.cost import Cost
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.load import Load
from mlfunc_runtime.messages import Gone
from mlfunc_runtime.streams import Stream
from mlfunc_runtime.stuck import Call
from mlfunc_runtime.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlfunc_runtime.batches import Run
    from mlfunc_runtime.collating import Collator, Prepare
    from mlfunc_runtime.executor import Mailbox, Slot
    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.metrics import Metrics
    from mlfunc_runtime.sizes import Weigh
    from mlfunc_runtime.stuck import Watch

# Learning takes 5 us a batch: of the shortest ones only some teach.
_LEARN_EVERY = 0.001
# Of what was foretold: a batch that raised takes its time, and then that of each by itself.
_ONE_BY_ONE = 1.5
# The hub's timers may fire so much early: they count from when the hub last looked at the clock.
_EARLY = 0.01
_QUICK = 0.0005  # seconds of a batch for which it does not pay to wake a slot at once
_SOON = 0.01  # seconds of a wait that is not worth foretelling
_NEWEST = 0.1  # how much the newest batch counts in a moving average
_LATE = "its turn came too late for its deadline"


class Batcher:
    """Queue in front of the slots; each runs batches in its own way.

    Methods without another word run on the hub. What the hub and the slots share is changed under
    a native lock that is held for some microseconds, and never while user code runs.
    """

    def __init__(
        self,
        runs: Mapping[Slot, Run],
        mailbox: Mailbox,
        metrics: Metrics,
        watch: Watch,
        *,
        max_size: int,
        weigh: Weigh,
        prepare: Prepare | None = None,
    ) -> None:
        works = {slot: partial(self._work, slot, run) for slot, run in runs.items()}
        self._collators = _collators(runs, prepare, self._work) if prepare else []
        hands = {each.thread: each.hand_over for each in self._collators} or works
        # Who takes batches out of the queue, slots or the collators in front of them, and what each
        # does when it is woken: it takes batches, and hands each to who runs it.
        self._serves = {taker: partial(self._serve, taker, hand) for taker, hand in hands.items()}
        self._mailbox = mailbox
        self._metrics = metrics
        self._watch = watch
        watch.over(_lanes(runs, self._collators), self._forget)
        self._weigh = weigh
        self._slots = tuple(runs)
        self._lock = allocate_lock()
        self._idle = list(self._serves)
        self._cost = Cost()
        self._waiting = Waiting(self._cost, max_size)
        self._load = Load(self._cost, max_size, len(runs))
        self._learned = 0.0
        self._hub: Any = get_hub()
        # A moving average of what a batch takes, in seconds: slow until it is known to be quick.
        self._busy = 1.0
        self._waking = False  # a slot is to be woken at the end of this turn of the hub
        self.coming = 0  # requests on their way to the queue: in before_predict

    @property
    def waiting(self) -> int:
        """Requests that have no slot yet."""
        return self._waiting.count

    def predicted_wait(self) -> float:
        """Seconds until a request that comes now would have its prediction; 0 while it would not
        wait for long, or nothing was learned yet.

        Slots whose process is started anew do not count: nobody knows how long that takes.
        """
        waiting = self._waiting
        ahead = waiting.count + self.coming
        if (ahead + 1) * self._busy < _SOON:
            return 0.0
        if not ahead and any(taker.ready for taker in self._idle):
            return 0.0
        self._load.slots = sum(slot.ready for slot in self._slots) or 1
        with self._lock:
            return self._load.wait(time.perf_counter(), ahead, waiting.count, waiting.units)

    def predict(self, request: Request, arguments: dict[str, Any]) -> Any:
        """Wait for a slot and the prediction; raise what `predict` raised.

        Whoever stops waiting has cancelled the request.
        """
        item = Item(request, arguments, *self._weigh(arguments))
        self._enqueue(item)
        try:
            self._wait(item)
        except BaseException:
            self._give_up(item)
            raise
        return batches.settle(item)

    def _enqueue(self, item: Item) -> None:
        """A slot whose batches are over in no time is woken once for all that this turn of the hub
        brings: to wake a thread and hand it the GIL takes longer than what it is to do.
        """
        if self._watch.idle:
            self._watch.begin()
        with self._lock:
            self._waiting.add(item)
        if not self._idle:
            return
        if self._busy > _QUICK:
            self.wake()
        elif not self._waking:
            self._waking = True
            self._hub.loop.run_callback(self._wake_soon)

    def _wake_soon(self) -> None:
        self._waking = False
        self.wake()

    def _wait(self, item: Item) -> None:
        """A client that leaves takes its request out of the queue. A prediction that has begun goes
        on to its end, and so does what comes after it: it may count, store or bill what was made.
        """
        try:
            item.waiter.get()
        except Gone:
            if self._withdraw(item):
                raise
            item.request.begun = True
            item.waiter.get()

    def _give_up(self, item: Item) -> None:
        """It never runs if it waits still; if it runs, nobody reads what comes of it."""
        item.request.cancelled = True
        self._withdraw(item)
        if isinstance(item.outcome, Stream):
            item.outcome.close()

    def _withdraw(self, item: Item) -> bool:
        """Out of the queue, if it waits there still; whether it did."""
        with self._lock:
            waited = self._waiting.forget(item)
        if waited:
            late = time.perf_counter() > item.deadline - _EARLY
            self._metrics.dropped["deadline" if late else "cancelled"] += 1
        return waited

    def wake(self) -> None:
        """Have one who is free and ready look at the queue; it wakes another if it leaves some.

        To be called when one becomes ready. Safe from any thread.
        """
        with self._lock:
            ready = next((taker for taker in reversed(self._idle) if taker.ready), None)
            if ready is not None:
                self._idle.remove(ready)
        if ready is not None:
            ready.run(self._serves[ready])

    def refuse(self, told: str) -> None:
        """Answer what waits: 503, for no slot will take it. Called by the hub itself."""
        with self._lock:
            left = self._waiting.clear()
        self._metrics.dropped["stuck"] += len(left)
        _turn_away(left, [Problem(503, told, headers={"Retry-After": "1"}) for _ in left])

    def close(self) -> None:
        """End the threads that are the batcher's own, and look at the slots no more."""
        self._watch.close()
        for each in self._collators:
            each.thread.close()

    def _serve(self, taker: Slot, hand: Callable[[list[Item]], None]) -> None:
        """In the taker's thread: batch after batch, until nothing waits, or a call does."""
        try:
            while batch := self._take(taker):
                hand(batch)
                if taker.wanted:
                    taker.run(self._serves[taker])
                    return
        except BaseException:
            # A mistake of ours must not cost the slot: its requests run into their deadlines.
            self._idle.append(taker)
            raise

    def _take(self, taker: Slot) -> list[Item]:
        """In the taker's thread."""
        with self._lock:
            now = time.perf_counter()
            batch, late = self._waiting.take(now)
            if batch:
                self._load.begin(batch, now, left=self._waiting.count)
            else:
                self._idle.append(taker)
        if late:
            self._mailbox.post(lambda: self._too_late(late))
        if batch and self._idle and self._waiting.count:
            self.wake()
        return batch

    def _work(self, slot: Slot, run: Run, batch: list[Item]) -> None:
        """In the slot's thread. One wake-up of the hub for the whole batch.

        A stream is answered when it begins and keeps the slot until it ends.
        """
        started = time.perf_counter()
        slot.at = Call(started, batch)
        outcomes = batches.run_safely(run, batch)
        batches.note(batch, outcomes, started)
        streams = [outcome for outcome in outcomes if isinstance(outcome, Stream)]
        if streams:
            self._mailbox.post(partial(batches.answer, batch))
        for stream in streams:
            stream.pump()
        busy = self._end(batch, started, learn=slot.ready)
        slot.at = None
        self._mailbox.post(partial(self._finish, batch, busy, answered=bool(streams)))

    def _end(self, batch: list[Item], started: float, *, learn: bool) -> float:
        """In the slot's thread: learn from the batch, if it tells what one costs. One that was
        stuck does not.
        """
        now = time.perf_counter()
        busy = now - started
        with self._lock:
            self._busy += _NEWEST * (busy - self._busy)
            self._load.end(batch)
            if learn and now - self._learned > _LEARN_EVERY and self._is_telling(batch, busy):
                self._learned = now
                self._cost.observe(len(batch), batches.longest(batch), busy)
        return busy

    def _is_telling(self, batch: list[Item], busy: float) -> bool:
        """Not if all of it failed, nor if some did and it took so long that it ran one by one."""
        failed = sum(map(batches.failed, batch))
        foretold = self._cost.seconds(len(batch), batches.longest(batch))
        return not failed or (failed < len(batch) and busy < _ONE_BY_ONE * foretold)

    def _finish(self, batch: list[Item], busy: float, *, answered: bool) -> None:
        padded = len(batch) * batches.longest(batch)
        self._metrics.observe_batch(len(batch), busy, batches.units(batch), padded)
        if self._watch.count:
            self._watch.settle()
        if not answered:
            batches.answer(batch)

    def _too_late(self, late: list[Item]) -> None:
        self._metrics.dropped["deadline"] += len(late)
        _turn_away(late, [Problem(504, _LATE) for _ in late])

    def _forget(self, batch: Sequence[Item]) -> None:
        """Nobody who comes would wait for this batch: it is stuck."""
        with self._lock:
            self._load.end(batch)


def _turn_away(items: Sequence[Item], problems: Sequence[Problem]) -> None:
    batches.note(items, problems, time.perf_counter())
    batches.answer(items)


def _collators(
    slots: Iterable[Slot], prepare: Prepare, work: Callable[[Slot, Run, list[Item]], None]
) -> list[Collator]:
    from mlfunc_runtime.collating import Collator

    return [Collator(slot, prepare, work) for slot in slots]


def _lanes(slots: Iterable[Slot], collators: Sequence[Collator]) -> list[list[Slot]]:
    """Each slot, with the thread in front of it if there is one."""
    return [[slot, *(each.thread for each in collators if each.slot is slot)] for slot in slots]
