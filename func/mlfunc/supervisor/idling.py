"""A supervisor that was started on the way ends, when for a while nothing has been deployed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from mlfunc.cluster import kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.supervisor.state.objects import Change, Objects

_log = logging.getLogger(__name__)
_DEPLOYED = (kinds.SERVICE, kinds.TRIGGER)


class Idle(NamedTuple):
    """After so many seconds, what is done; 0: never."""

    seconds: float
    end: Callable[[], None]


class Idleness:
    """Whether there is a Service or a Trigger: a timer runs while there is none."""

    def __init__(self, objects: Objects, idle: Idle) -> None:
        self._objects = objects
        self._seconds = idle.seconds
        self._end = idle.end
        self._timer: asyncio.TimerHandle | None = None
        self._stop = objects.listen(self._heed)
        self._look()

    @property
    def is_timed(self) -> bool:
        """Whether it ends if this stays so."""
        return self._timer is not None

    def close(self) -> None:
        """Look no more."""
        self._stop()
        self._cancel()

    def _heed(self, change: Change) -> None:
        if change.kind in _DEPLOYED:
            self._look()

    def _look(self) -> None:
        if not self._seconds or any(map(self._objects.list, _DEPLOYED)):
            self._cancel()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._is_over)

    def _is_over(self) -> None:
        _log.info("nothing has been deployed for %.0f s", self._seconds)
        self._end()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
