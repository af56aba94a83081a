"""Slots whose call does not come back: a deadlock, a socket without a timeout, a hung device.

A call is stuck when it has gone on for twice as long as anybody waits for it. Python cannot end its
thread, so that is told, with where it stands, and the other slots go on. When none is left, the
function is neither ready nor live, and whoever runs it starts it again. A call that comes back
after all leaves its slot as good as before.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from gevent import get_hub

from mlfunc_runtime import errors, logs
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batches import Item
    from mlfunc_runtime.executor import Slot
    from mlfunc_runtime.settings import Settings

# Seconds: a model that is compiled for a new shape takes some, however short `serve.timeout` is.
LEAST = 30.0
# After which it is looked again: what held the GIL for long held up the timer, and is over by now.
_SURE = 1.0


class Bounds(NamedTuple):
    """Seconds after which a call, or the next item of a stream, is stuck."""

    call: float = math.inf
    item: float = math.inf


class Call(NamedTuple):
    """What a slot's thread is at, and since when (time.perf_counter)."""

    since: float
    batch: Sequence[Item]


def bounds(settings: Settings) -> Bounds:
    """None with `serve.isolation: process`: `serve.process.timeout` ends such calls."""
    if settings.isolation == "process":
        return Bounds()
    call, item = (2 * limit for limit in (settings.timeout, settings.chunk_timeout))
    return Bounds(max(LEAST, call), max(LEAST, item))


def began(call: Call) -> float | None:
    """When the work began that it is at now; None: it waits for the reader of its stream."""
    stream = call.batch[0].outcome
    return stream.since if isinstance(stream, Stream) else call.since


def due(call: Call, limits: Bounds) -> float:
    """When it will be stuck. A warm-up never is: it may compile the model."""
    stream, since = call.batch[0].outcome, began(call)
    if since is None or call.batch[0].deadline == math.inf:
        return math.inf
    return since + (limits.item if isinstance(stream, Stream) and stream.made else limits.call)


class Watch:
    """Looks at all slots now and then, while there are calls. All methods run on the hub.

    `idle`: nothing is looked at, and `begin` is to be called with the next call. `count`: slots
    that are stuck. `all`: no slot is left.
    """

    def __init__(self, limits: Callable[[], Bounds], changed: Callable[[], object]) -> None:
        self.idle = self.all = False
        self.count = 0
        self._bounds = limits
        self._limits = Bounds()
        self._changed = changed
        self._lanes: Sequence[Sequence[Slot]] = ()
        self._lost: Callable[[Sequence[Item]], object] = lambda _: None
        self._stuck: dict[Slot, Call] = {}
        self._doubted: dict[Slot, Call] = {}
        self._timer: Any = None

    def over(
        self, lanes: Sequence[Sequence[Slot]], lost: Callable[[Sequence[Item]], object]
    ) -> None:
        """Look at these: each slot with the threads that work for it. `lost` is called with the
        batch of one that is stuck.
        """
        self._lanes, self._lost = lanes, lost
        self._limits = self._bounds()
        self.idle = self._limits.call < math.inf

    def begin(self) -> None:
        """There will be calls."""
        self._look_in(min(self._limits))

    def settle(self) -> None:
        """A call is over: see whether it was a stuck one."""
        back = [slot for slot, call in self._stuck.items() if slot.at is not call]
        for slot in back:
            took = time.perf_counter() - self._stuck.pop(slot).since
            told = f"{slot.name} is not stuck any more: its call came back after {took:.3g} s"
            logs.event(told, level=logging.WARNING, slot=slot.name)
        if back:
            self._count()

    def holds(self, slot: Slot) -> bool:
        """Whether what is given to it would wait for a stuck call."""
        return slot in self._stuck

    def close(self) -> None:
        """Look no more."""
        self.idle = False
        self._clear()

    def _look_in(self, seconds: float) -> None:
        self._clear()
        self.idle = False
        # It keeps nobody waiting who waits until there is nothing to do.
        self._timer = get_hub().loop.timer(max(0.001, seconds), ref=False)
        self._timer.start(self._look)

    def _clear(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _look(self) -> None:
        now = time.perf_counter()
        running = self._running()
        overdue = {each: call for each, call in running.items() if due(call, self._limits) <= now}
        lost = {each: call for each, call in overdue.items() if self._doubted.get(each) is call}
        self._doubted = {each: call for each, call in overdue.items() if each not in lost}
        for slot, call in lost.items():
            self._lose(slot, call)
        self._look_again(now, [call for slot, call in running.items() if slot not in overdue])

    def _running(self) -> dict[Slot, Call]:
        """What is not known to be stuck."""
        at = [(thread, thread.at) for lane in self._lanes for thread in lane]
        return {
            thread: call for thread, call in at if call is not None and thread not in self._stuck
        }

    def _look_again(self, now: float, calls: Sequence[Call]) -> None:
        if self._doubted:
            self._look_in(_SURE)
        elif calls:
            first = min(due(call, self._limits) for call in calls)
            # One that waits for its reader will be at work again.
            self._look_in(min(first - now, *self._limits))
        else:
            self._clear()
            self.idle = True

    def _lose(self, slot: Slot, call: Call) -> None:
        self._stuck[slot] = call
        self._lost(call.batch)
        self._tell(slot, call)
        self._count()

    def _tell(self, slot: Slot, call: Call) -> None:
        seconds = time.perf_counter() - (began(call) or call.since)
        told = f"{slot.name} is stuck: what it runs has not come back for {seconds:.3g} s"
        phase = {}
        if all(map(self._is_stuck, self._lanes)):
            told += "; no slot is left, nothing is predicted until the function is started again"
            phase = {"phase": "stuck"}
        logs.event(
            told,
            level=logging.ERROR,
            **phase,
            slot=slot.name,
            seconds=round(seconds, 1),
            requests=[item.request.id for item in call.batch],
            traceback=errors.user_stack(sys._current_frames().get(slot.ident)),
        )

    def _count(self) -> None:
        """No thread of a lane takes a batch that would wait for a stuck one."""
        for lane in self._lanes:
            stuck = self._is_stuck(lane)
            for thread in lane:
                thread.ready = not stuck
        self.count = sum(map(self._is_stuck, self._lanes))
        self.all = self.count == len(self._lanes)
        self._changed()

    def _is_stuck(self, lane: Sequence[Slot]) -> bool:
        return any(thread in self._stuck for thread in lane)
