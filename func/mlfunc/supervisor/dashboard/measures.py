"""Totals that grow -> rates and quantiles of the last while. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.supervisor.dashboard.sources import Counted, Latencies

_WINDOW = 30  # seconds that quantiles are of


@dataclass(frozen=True)
class Measures:
    """Of a revision: requests a second by status, and seconds that they take."""

    rates: Mapping[str, float]
    p50: float | None
    p99: float | None

    @property
    def rate(self) -> float:
        """Of all statuses."""
        return round(sum(self.rates.values()), 2)


NOTHING = Measures({}, None, None)


class _Reading(NamedTuple):
    at: float
    counted: Counted


class Meter:
    """Remembers the readings of one revision that its measures are worked out from."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque(maxlen=_WINDOW + 1)

    def read(self, at: float, counted: Counted) -> Measures:
        """Take the next reading; rates are since the one before, quantiles of half a minute."""
        while self._readings and self._readings[0].at < at - _WINDOW:
            self._readings.popleft()
        first = self._readings[0].counted if self._readings else counted
        last = self._readings[-1] if self._readings else _Reading(at, counted)
        self._readings.append(_Reading(at, counted))
        took = _since(first.latencies, counted.latencies)
        return Measures(
            _rates(last, at, counted.statuses), quantile(took, 0.5), quantile(took, 0.99)
        )


def quantile(took: Latencies, part: float) -> float | None:
    """Seconds that so much of all took at most, between two bounds as if evenly spread.

    Of those beyond the last bound nothing is known but that; None: there are none at all.
    """
    wanted, seen, low = part * sum(took.counts), 0, 0.0
    if not wanted:
        return None
    for bound, count in zip(took.bounds, took.counts, strict=False):
        if count and seen + count >= wanted:
            return low + (bound - low) * (wanted - seen) / count
        seen, low = seen + count, bound
    return low


def _since(before: Latencies, now: Latencies) -> Latencies:
    pairs = zip_longest(now.counts, before.counts, fillvalue=0)
    return type(now)(now.bounds, tuple(max(0, new - old) for new, old in pairs))


def _rates(last: _Reading, at: float, statuses: Mapping[str, int]) -> dict[str, float]:
    if (seconds := at - last.at) <= 0:
        return {}
    grown = {code: n - last.counted.statuses.get(code, 0) for code, n in statuses.items()}
    return {code: round(n / seconds, 2) for code, n in sorted(grown.items()) if n > 0}
