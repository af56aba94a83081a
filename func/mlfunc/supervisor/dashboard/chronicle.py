"""Starts and crashes, which are gone from the fleet when their instance is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlfunc.supervisor.parts import Instance, Key

_KEPT = 8  # of each revision
_LONGEST = 20_000  # characters of a traceback


@dataclass(frozen=True)
class Start:
    """An instance that has become ready; `phases` are what its runtime measured, in seconds.

    `seconds` are from its creation, its process included.
    """

    instance: str
    at: float
    seconds: float
    phases: Mapping[str, float]


@dataclass(frozen=True)
class Crash:
    """An instance that has ended without being told to."""

    instance: str
    at: float
    exit_code: int | None
    failure: str


_Kept = TypeVar("_Kept", Start, Crash)


class Chronicle:
    """The last starts and crashes of each revision, as told by the fleet."""

    def __init__(self) -> None:
        self._starts: dict[Key, deque[Start]] = {}
        self._crashes: dict[Key, deque[Crash]] = {}

    def tell(self, instance: Instance) -> None:
        """An instance has changed; the same may be told twice."""
        if instance.phase == "ready":
            _add(self._starts, instance.revision, _start(instance))
        elif instance.phase == "backoff":
            _add(self._crashes, instance.revision, _crash(instance))

    def starts(self, revision: Key) -> tuple[Start, ...]:
        """The newest first."""
        return tuple(self._starts.get(revision, ()))

    def crashes(self, revision: Key) -> tuple[Crash, ...]:
        """The newest first."""
        return tuple(self._crashes.get(revision, ()))

    def keep(self, revisions: Iterable[Key]) -> None:
        """Forget those of all others: they were deleted."""
        there = set(revisions)
        for each in (self._starts, self._crashes):
            for gone in each.keys() - there:
                del each[gone]


def _add(into: dict[Key, deque[_Kept]], revision: Key, what: _Kept) -> None:
    kept = into.setdefault(revision, deque(maxlen=_KEPT))
    if what not in kept:
        kept.appendleft(what)


def _start(instance: Instance) -> Start:
    # An instance that was started again counts from then, which only its runtime knows.
    total = instance.startup.get("total", 0.0)
    took = total if instance.restarts else max(total, instance.since - instance.created)
    return Start(instance.name, instance.since, round(took, 3), dict(instance.startup))


def _crash(instance: Instance) -> Crash:
    failure = instance.failure[:_LONGEST]
    return Crash(instance.name, instance.since, instance.exit_code, failure)
