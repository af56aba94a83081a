"""Collation: making a model's input of a batch, in a thread of its own while the slot is busy.

That thread takes the batch, and the next one when the slot has begun on it: a batch is bound one
ahead, for predictors that define `collate` only.
"""

from __future__ import annotations

import time
from _queue import SimpleQueue
from functools import partial
from typing import TYPE_CHECKING

from mlfunc_runtime.executor import Slot
from mlfunc_runtime.stuck import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batches import Item, Run

    # Collates a batch; what comes back runs it. It does not raise.
    Prepare = Callable[[Sequence[Item]], Run]


class Collator:
    """The thread in front of one slot. `work` runs a batch in the slot's thread."""

    def __init__(
        self, slot: Slot, prepare: Prepare, work: Callable[[Slot, Run, list[Item]], None]
    ) -> None:
        self.thread = Slot(f"{slot.name}-collate")
        self.slot = slot
        self._prepare = prepare
        self._work = work
        self._begun: SimpleQueue[None] = SimpleQueue()

    def hand_over(self, batch: list[Item]) -> None:
        """In the collator's thread: until the slot has begun on it."""
        self.thread.at = Call(time.perf_counter(), batch)
        run = self._prepare(batch)
        self.thread.at = None
        self.slot.run(partial(self._begin, run, batch))
        self._begun.get()

    def _begin(self, run: Run, batch: list[Item]) -> None:
        self._begun.put(None)
        self._work(self.slot, run, batch)
