"""What there is to know of a revision's requests: how many at once, how long, what came of them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.supervisor.parts import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc.supervisor.parts import Key

# Upper bounds of a histogram, in seconds: each a quarter more than the one before, to ten minutes.
BOUNDS = tuple(round(0.001 * 1.25**n, 6) for n in range(61))
LEFT = 499  # the client did not wait for the reply


@dataclass(frozen=True)
class Stats:
    """Of a revision, since it is served. Times are counts by BOUNDS, and one more for all above."""

    revision: Key
    requests: int  # that have come
    in_flight: int
    waiting: int
    instances: Mapping[str, int]  # requests in each, now
    statuses: Mapping[int, int]  # replies: by status; 499: the client did not wait for it
    times: tuple[int, ...]  # from a request's arrival to the end of its reply
    waits: tuple[int, ...]  # until it had an instance, of those that waited at all
    held: int  # requests that came while there was no instance
    repeated: int  # that were sent to another instance, or once more
    broken: int  # replies that ended before they were whole


def quantile(counts: tuple[int, ...], share: float) -> float:
    """Seconds that `share` (0 to 1) of them are not above; 0 when there is none."""
    left = share * sum(counts)
    if not left:
        return 0.0
    for bound, count in zip(BOUNDS, counts, strict=False):
        left -= count
        if left <= 0:
            return bound
    return BOUNDS[-1]


class Meter:
    """Kept by whoever serves; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = self._last = clock()
        self._area = 0.0
        self._at_once = 0
        self._asked = 0  # requests, when the load was last asked for
        self.requests = self.held = self.repeated = self.broken = 0
        self.statuses: dict[int, int] = {}
        self.times = [0] * (len(BOUNDS) + 1)
        self.waits = [0] * (len(BOUNDS) + 1)

    def enter(self) -> float:
        """A request has come; when."""
        now = self._pass()
        self._at_once += 1
        self.requests += 1
        return now

    def leave(self, came: float, status: int) -> None:
        """It is over."""
        now = self._pass()
        self._at_once -= 1
        self.times[bisect_left(BOUNDS, now - came)] += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def waited(self, came: float) -> None:
        """It has an instance, which it had not at once."""
        self.waits[bisect_left(BOUNDS, self._clock() - came)] += 1

    def load(self, waiting: int) -> Load:
        """Since this was last asked; `waiting`: how many do now."""
        now = self._pass()
        seconds = now - self._since
        average = self._area / seconds if seconds > 0 else float(self._at_once)
        told = Load(average, self.requests - self._asked, self._at_once - waiting, waiting)
        self._since, self._area, self._asked = now, 0.0, self.requests
        return told

    def _pass(self) -> float:
        now = self._clock()
        self._area += self._at_once * (now - self._last)
        self._last = now
        return now
