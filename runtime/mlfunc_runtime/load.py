"""How long a request would wait: from what waits, what runs, and what batches cost. O(1)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from mlfunc_runtime import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc_runtime.batches import Item
    from mlfunc_runtime.cost import Cost

_NEWEST = 0.1  # how much the newest batch counts in a moving average


class Load:
    """What runs now, and what batches have been like.

    `slots` is how many take batches at present, one at least.
    """

    def __init__(self, cost: Cost, max_size: int, slots: int) -> None:
        self.slots = slots
        self._cost = cost
        self._running: dict[Item, tuple[float, float]] = {}
        self._full = float(max_size)
        self._padding = 1.0
        self._mean = 1.0

    def begin(self, batch: Sequence[Item], now: float, *, left: int) -> None:
        """A slot starts on a batch; `left` requests did not come into it, so it was a full one."""
        n, units, longest = len(batch), batches.units(batch), batches.longest(batch)
        self._running[batch[0]] = (now, self._cost.foretold(n, longest))
        self._mean += _NEWEST * (units / n - self._mean)
        if left:
            self._full += _NEWEST * (n - self._full)
            self._padding += _NEWEST * (n * longest / units - self._padding)

    def end(self, batch: Sequence[Item]) -> None:
        """The slot is free again."""
        self._running.pop(batch[0], None)

    def wait(self, now: float, ahead: int, waiting: int, units: float) -> float:
        """Seconds until a request would have its prediction with `ahead` before it, of which
        `waiting` weigh `units`; the others weigh what requests weigh.

        0 while too little is known.
        """
        if not self._cost.known:
            return 0.0
        size = (units + self._mean * (ahead + 1 - waiting)) / (ahead + 1)
        n = round(min(self._full, ahead + 1)) or 1
        padded = min(n, self._cost.largest or n) > 1
        batch = self._cost.foretold(n, size * (self._padding if padded else 1.0))
        before = self._left(now) + (ceil((ahead + 1) / n) - 1) * batch
        return before / self.slots + batch

    def _left(self, now: float) -> float:
        """Of what runs. What is over its time takes as long again, for all we know."""
        total = 0.0
        for began, predicted in self._running.values():
            elapsed = now - began
            total += predicted - elapsed if elapsed < predicted else elapsed
        return total
