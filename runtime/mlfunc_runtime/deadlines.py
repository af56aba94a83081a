"""The deadlines of all requests, with one timer: one for each would cost a tenth of what a small
request costs, and it is hardly ever due.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from gevent import get_hub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc_runtime.messages import Request


class Deadlines:
    """Throws `error` into the greenlets of `here` whose requests are late. Used on the hub.

    A request without a greenlet has its answer.
    """

    def __init__(self, here: Mapping[Request, Any], error: type[BaseException]) -> None:
        self._here = here
        self._error = error
        self._due = math.inf
        self._timer: Any = None

    def watch(self, deadline: float) -> None:
        """A request of `here` is to be answered by then (time.perf_counter)."""
        if deadline < self._due:
            self._set(deadline)

    def _set(self, due: float) -> None:
        self._clear()
        self._due = due
        self._timer = get_hub().loop.timer(max(0.001, due - time.perf_counter()))
        self._timer.start(self._ring)

    def _clear(self) -> None:
        self._due = math.inf
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _ring(self) -> None:
        """On the hub itself, so that whoever is late is waiting for something: it stops."""
        self._clear()
        now = time.perf_counter()
        for request, waiting in list(self._here.items()):
            if waiting is not None and request.deadline <= now:
                waiting.throw(self._error)
        self.watch(
            min((r.deadline for r, waiting in self._here.items() if waiting), default=math.inf)
        )
