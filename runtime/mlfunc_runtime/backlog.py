"""Work after the reply: bounded, time-limited, counted, and waited for at shutdown."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event
from gevent.timeout import Timeout

from mlfunc_runtime import logs
from mlfunc_runtime.errors import Problem, user_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.metrics import Metrics

_log = logging.getLogger("mlfunc")


class Backlog:
    """The `after_response` hooks that wait or run. All methods run on the hub."""

    def __init__(self, metrics: Metrics, *, concurrency: int, limit: int, timeout: float) -> None:
        self._waiting: deque[tuple[Request, Callable[[], object]]] = deque()
        self._free = concurrency
        self._limit = limit
        self._timeout = timeout
        self._metrics = metrics
        self._accepted = 0
        self._room = Event()
        self._idle = Event()
        self._room.set()
        self._idle.set()

    @property
    def size(self) -> int:
        """Hooks that wait or run."""
        return self._accepted

    def wait_for_room(self, timeout: float) -> None:
        """Hold a new request back while the backlog is full: hooks are never dropped for it.

        Raises:
            Problem: 503 when there is no room within `timeout` seconds.

        """
        if not self._room.wait(timeout):
            raise Problem(
                503, "work of earlier replies is not done yet", headers={"Retry-After": "1"}
            )

    def submit(self, request: Request, hook: Callable[[], object]) -> None:
        """Run `hook` when a greenlet is free. Returns at once."""
        self._count(1)
        self._waiting.append((request, hook))
        self._start()

    def drain(self, timeout: float) -> int:
        """Wait until all hooks are done; return how many are not after `timeout` seconds."""
        self._idle.wait(timeout)
        return self._accepted

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            gevent.spawn(self._run, *self._waiting.popleft())

    def _run(self, request: Request, hook: Callable[[], object]) -> None:
        logs.request_id.set(request.id)
        try:
            with Timeout(self._timeout):
                hook()
        except Timeout:
            self._fail(
                request, f"after_response took more than {self._timeout:.3g} s and was ended", None
            )
        except (Exception, SystemExit) as error:
            self._fail(request, f"after_response raised {type(error).__name__}: {error}", error)
        finally:
            self._metrics.hooks_total += 1
            self._count(-1)
            self._free += 1
            self._start()

    def _fail(self, request: Request, message: str, error: BaseException | None) -> None:
        self._metrics.hooks_failed_total += 1
        details = {"traceback": user_traceback(error)} if error else {}
        _log.error(message, extra={"fields": {"request_id": request.id, **details}})

    def _count(self, change: int) -> None:
        self._accepted += change
        (self._room.set if self._accepted < self._limit else self._room.clear)()
        (self._idle.clear if self._accepted else self._idle.set)()
