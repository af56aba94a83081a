"""What waits for a slot, and which of it makes the next batch. Plain data: the batcher locks it.

The oldest is in every batch, so nobody starves. Others join, closest in size first, while that
costs less than running them alone: padding is accepted exactly as long as it is below the fixed
cost that sharing saves. There is no knob.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlfunc_runtime.batches import Item
    from mlfunc_runtime.cost import Cost

# How many of the oldest are looked at: enough to find company in size, few enough to be quick.
_WINDOW = 64
# What a batch costs on our side, in seconds: even where predict costs nothing, sharing saves this.
_HOP = 50e-6
# A batch is formed anew so often, each time without those it would make late.
_TRIES = 3
# The queue is swept when it holds more given up items than live ones, and this many.
_SPARSE = 64


class Waiting:
    """A queue of items, oldest first. Whoever gave up is skipped when its turn comes."""

    def __init__(self, cost: Cost, max_size: int) -> None:
        self.cost = cost
        self.max_size = max_size
        self.count = 0
        self.units = 0.0
        self._items: deque[Item] = deque()

    def add(self, item: Item) -> None:
        """The newest."""
        self._items.append(item)
        self.count += 1
        self.units += item.size

    def forget(self, item: Item) -> bool:
        """Whether it waited: then it never runs."""
        if not item.waits:
            return False
        self._leave(item)
        if len(self._items) > 2 * self.count + _SPARSE:
            self._items = deque(item for item in self._items if item.waits)
        return True

    def clear(self) -> list[Item]:
        """All that waited: they never run."""
        left = [item for item in self._items if item.waits]
        for item in left:
            self._leave(item)
        self._items.clear()
        return left

    def take(self, now: float) -> tuple[list[Item], list[Item]]:
        """The next batch, and those that would not be done by their deadline."""
        late: list[Item] = []
        window = self._window(now, late)
        if self.max_size == 1:
            for item in window:
                self._leave(item)
            return window, late
        batch = join(window, self.cost, self.max_size)
        for _ in range(_TRIES):
            doomed = self._doomed(batch, now)
            if not doomed:
                break
            self._drop(doomed, late)
            window = [item for item in window if item.waits] or self._window(now, late)
            batch = join(window, self.cost, self.max_size)
        for item in batch:
            self._leave(item)
        self._items.extendleft(reversed([item for item in window if item.waits]))
        return batch, late

    def _window(self, now: float, late: list[Item]) -> list[Item]:
        room = 1 if self.max_size == 1 else max(_WINDOW, self.max_size)
        window: list[Item] = []
        items = self._items
        while items and len(window) < room:
            item = items.popleft()
            if not item.waits:
                continue
            if item.deadline < now + self._least(item):
                self._drop([item], late)
            else:
                window.append(item)
        return window

    def _least(self, item: Item) -> float:
        """What it takes by itself. The last one is tried whatever was learned: nobody waits behind
        it, and else what was learned wrongly would never be learned anew.
        """
        if self.count == 1 or not self.cost.known:
            return 0.0
        return self.cost.foretold(1, item.size)

    def _doomed(self, batch: Sequence[Item], now: float) -> list[Item]:
        """Those whom their own batch makes late. Others take their places, if there are others:
        simulated at 1.3 times what a model can do, 30 % more are answered in time.
        """
        if self.count == len(batch) or not self.cost.known:
            return []
        end = now + self.cost.foretold(len(batch), max(item.size for item in batch))
        return [item for item in batch if item.deadline < end]

    def _drop(self, items: Sequence[Item], late: list[Item]) -> None:
        for item in items:
            self._leave(item)
        late += items

    def _leave(self, item: Item) -> None:
        item.waits = False
        self.count -= 1
        self.units = self.units - item.size if self.count else 0.0


def join(window: Sequence[Item], cost: Cost, max_size: int) -> list[Item]:
    """The oldest of `window`, which is in order of age, and those that share its batch."""
    if max_size == 1 or len(window) < 2:
        return list(window[:1])
    anchor = window[0]
    fitting = [item for item in window if item.key == anchor.key]
    if not cost.known:
        return fitting[:max_size]
    size = anchor.size
    if all(item.size == size for item in fitting):
        return fitting[: _alike(size, min(max_size, len(fitting)), cost)]
    fitting.sort(key=lambda item: abs(item.size - size))
    return _cheaper_together(anchor, fitting, cost, max_size)


def _alike(size: float, most: int, cost: Cost) -> int:
    """How many of the same size are cheaper together."""
    alone = cost.seconds(1, size) + _HOP
    whole = cost.seconds(1, size)
    for n in range(1, most):
        more = cost.seconds(n + 1, size)
        if more - whole >= alone:
            return n
        whole = more
    return most


def _cheaper_together(
    anchor: Item, nearest: Iterable[Item], cost: Cost, max_size: int
) -> list[Item]:
    """Marginal cost by hand: up to 64 are looked at while a slot waits."""
    fixed, each, unit = cost.terms
    single = cost.bend(1)
    batch = [anchor]
    n, longest = 1, anchor.size
    whole, bend = cost.seconds(1, longest), cost.bend(2)
    for item in nearest:
        if item is anchor:
            continue
        reach = max(longest, item.size)
        more = (fixed + (each + unit * reach) * (n + 1)) * bend
        if more - whole >= (fixed + each + unit * item.size) * single + _HOP:
            continue
        batch.append(item)
        n, longest, whole = n + 1, reach, more
        if n == max_size:
            break
        bend = cost.bend(n + 1)
    return batch
