"""Averages over the last seconds, as Knative's autoscaler takes them: sums, a bucket each second.

Source: serving pkg/autoscaler/aggregation/bucketing.go. No clock: seconds are the caller's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_DIGITS = 6
# Of the weights that fall, so little lies outside the window.
_FORGOTTEN = 0.0001
_LEAST_SMOOTHING = 0.2


@dataclass(frozen=True)
class Recent:
    """What a window holds: the sum of each second, newest first, and how long it is silent."""

    sums: tuple[float, ...] = ()
    silent: int = 0


class Window:
    """The sums of the last `seconds`; values of one second add up.

    After as many silent seconds, it begins anew.
    """

    def __init__(self, seconds: float) -> None:
        self.size = math.ceil(seconds)
        self._sums: dict[int, float] = {}
        self._first = 0
        self._last: int | None = None

    def record(self, second: int, value: float) -> None:
        """Add a value to its second; one older than the window is not taken."""
        if self._last is None or second - self._last >= self.size:
            self._sums, self._first, self._last = {}, second, second
        elif self._last - second >= self.size:
            return
        self._first, self._last = min(self._first, second), max(self._last, second)
        self._sums[second] = self._sums.get(second, 0.0) + value
        for old in [each for each in self._sums if each <= self._last - self.size]:
            del self._sums[old]

    def resized(self, seconds: float) -> Window:
        """One of another size, with what of this one it holds."""
        if math.ceil(seconds) == self.size:
            return self
        window = Window(seconds)
        for second in sorted(self._sums):
            window.record(second, self._sums[second])
        return window

    def recent(self, second: int) -> Recent:
        """What it holds in a second; seconds before the first value are none of it."""
        if self._last is None or second - self._last >= self.size:
            return Recent()
        newest, silent = self._last, max(0, second - self._last)
        count = min(newest - self._first + 1, self.size - silent)
        return Recent(tuple(self._sums.get(newest - age, 0.0) for age in range(count)), silent)


def linear(recent: Recent) -> float:
    """The average in which each second counts the same, but those that are silent not."""
    return round(sum(recent.sums) / len(recent.sums), _DIGITS) if recent.sums else 0.0


def fading(recent: Recent, smoothing: float) -> float:
    """The average in which the newest second counts most (weighted-exponential)."""
    return sum(
        value * smoothing * (1 - smoothing) ** (recent.silent + age)
        for age, value in enumerate(recent.sums)
    )


def smoothing(seconds: float) -> float:
    """The weight of the newest second, for a window."""
    return max(_LEAST_SMOOTHING, 1 - math.pow(_FORGOTTEN, 1 / math.ceil(seconds)))
