"""Instances and requests over the last half hour, so that a page that opens later sees them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.supervisor.parts import Key

KEPT_SECONDS = 30 * 60
_MOST = 2 * KEPT_SECONDS  # one a second, and as many again for what happens in between


class Sample(NamedTuple):
    """What is there of a revision at a moment; it holds until the next sample."""

    starting: int = 0
    ready: int = 0
    in_flight: int = 0
    waiting: int = 0
    rate: float = 0.0  # requests a second
    p99: float | None = None


class Point(NamedTuple):
    """A sample and when it was taken, in seconds since 1970."""

    at: float
    sample: Sample


class Timeline:
    """The samples of all revisions. What does not change takes no room."""

    def __init__(self) -> None:
        self._points: dict[Key, deque[Point]] = {}

    def record(self, revision: Key, at: float, sample: Sample) -> None:
        """Add one, unless it is as the one before."""
        points = self._points.setdefault(revision, deque(maxlen=_MOST))
        if (points[-1].sample if points else Sample()) != sample:
            points.append(Point(at, sample))

    def last(self, revision: Key) -> Sample:
        """The newest."""
        points = self._points.get(revision)
        return points[-1].sample if points else Sample()

    def prune(self, now: float) -> None:
        """Let go of what is too old; of the old ones the last stays, for it holds on."""
        for revision, points in list(self._points.items()):
            while len(points) > 1 and points[1].at < now - KEPT_SECONDS:
                points.popleft()
            if not points or (points[-1].at < now - KEPT_SECONDS and points[-1].sample == Sample()):
                del self._points[revision]

    def all(self) -> Mapping[Key, tuple[Point, ...]]:
        """All there is, oldest first."""
        return {revision: tuple(points) for revision, points in self._points.items() if points}
