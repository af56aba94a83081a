"""Work after the reply: bounded, time-limited, tried again, counted, and waited for at shutdown.

A hook that was accepted ends in exactly one way: done, failed for good, or undone because the
function stopped. The last two are dead letters, if there is a sink for them, and always log lines.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import gevent
from gevent import GreenletExit
from gevent.event import Event
from gevent.timeout import Timeout

from mlfunc_runtime import logs
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.work import Ended, Work, tell

if TYPE_CHECKING:
    from mlfunc_runtime.deadletter import DeadLetters
    from mlfunc_runtime.metrics import Metrics
    from mlfunc_runtime.settings import Settings

_HOOK = "after_response"
_STOPPED = "the function stopped before it was done"
# A hook that is told to end may clean up for so many seconds; then it is left behind.
_CLEAN_UP = 0.2
_LONGEST_PAUSE = 3600.0  # seconds between two tries


class GivenUp(NamedTuple):
    """Hooks that were accepted and not done, and how many of those the sink has."""

    hooks: int
    dead_lettered: int


class _Stop(GreenletExit):  # type: ignore[misc]  # gevent has no types
    """Ends a hook that is out of time; of all exceptions, gevent prints only this kind nowhere."""


class Backlog:
    """The `after_response` hooks that wait or run. All methods run on the hub."""

    def __init__(self, metrics: Metrics, letters: DeadLetters, settings: Settings) -> None:
        self._metrics = metrics
        self._letters = letters
        self._free = settings.hook_concurrency
        self._limit = settings.hook_backlog
        self._timeout = settings.hook_timeout
        self._retries = settings.hook_retries
        self._backoff = settings.hook_backoff
        self._accepted: dict[Work, None] = {}  # as a set that knows the oldest
        self._waiting: deque[Work] = deque()
        self._running: dict[gevent.Greenlet, Work] = {}
        self._delayed: dict[Work, gevent.Greenlet] = {}
        self._no_try_after = math.inf
        self._room = Event()
        self._idle = Event()
        self._stopped = False
        self._undone = self._dead_lettered = 0
        self._accepted_changed()

    @property
    def size(self) -> int:
        """Hooks that wait, run, or are on their way to the dead letters."""
        return len(self._accepted)

    @property
    def running(self) -> int:
        """Hooks that run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Hooks that wait for a greenlet, or for their next try."""
        return len(self._waiting) + len(self._delayed)

    @property
    def oldest(self) -> float:
        """Seconds since the oldest of them was accepted."""
        first = next(iter(self._accepted), None)
        return 0.0 if first is None else time.monotonic() - first.accepted

    @property
    def dead_lettered(self) -> int:
        """How many that were not done when the function stopped are in the sink."""
        return self._dead_lettered

    @property
    def request_ids(self) -> list[str]:
        """Whose hooks they are, oldest first."""
        return [work.request.id for work in self._accepted]

    @property
    def full(self) -> bool:
        """Whether it has as many as it may have."""
        return not self._room.is_set()

    def wait_for_room(self, timeout: float) -> None:
        """Hold a new request back while the backlog is full: hooks are never dropped for it.

        Raises:
            Problem: 503 when there is no room within `timeout` seconds.

        """
        if not self._room.wait(timeout):
            raise Problem(
                503, "work of earlier replies is not done yet", headers={"Retry-After": "1"}
            )

    def submit(self, work: Work) -> None:
        """Run a hook when a greenlet is free. Returns at once."""
        work.accepted = time.monotonic()
        self._accepted[work] = None
        self._accepted_changed()
        if self._stopped:
            self._lose(work, "undone", Ended(f"{_HOOK}: {_STOPPED}"))
        else:
            self._queue(work)

    def hurry(self, until: float) -> None:
        """The function stops then (time.monotonic): the tries that wait come now, and it is not
        waited for later ones.
        """
        self._no_try_after = until
        for timer in list(self._delayed.values()):
            timer.kill(block=False)
        for work in list(self._delayed):
            self._queue(work)

    def drain(self, timeout: float) -> int:
        """Wait until all hooks are done; return how many are not after `timeout` seconds."""
        self._idle.wait(max(0.0, timeout))
        return self.size

    def give_up(self, deadline: float) -> GivenUp:
        """End all hooks; those that are not done go to the dead letters until `deadline`
        (time.monotonic).
        """
        self._stopped = True
        running = list(self._running)
        gevent.killall(running, _Stop, block=False)
        gevent.joinall(running, timeout=_CLEAN_UP)
        gevent.sleep(0)  # the hub calls the links: those that ended well after all are counted
        for work in [work for work in self._accepted if work not in self._letters]:
            self._lose(work, "undone", Ended(f"{_HOOK}: {_STOPPED}"))
        self._letters.close(deadline)
        return GivenUp(self._undone, self._dead_lettered)

    def _queue(self, work: Work) -> None:
        self._delayed.pop(work, None)
        self._waiting.append(work)
        self._start()

    def _start(self) -> None:
        """A link, not `finally`, hears of a greenlet's end, also of one that was killed unborn."""
        while self._free and self._waiting and not self._stopped:
            self._free -= 1
            work = self._waiting.popleft()
            work.attempts += 1
            greenlet = gevent.Greenlet(self._try, work)
            self._running[greenlet] = work
            greenlet.link(self._tried)
            greenlet.start()

    def _try(self, work: Work) -> Ended:
        """Whatever a hook raises ends that hook alone."""
        logs.request_id.set(work.request.id)
        limit = Timeout(self._timeout)
        try:
            with limit:
                work.call()
        except _Stop:
            raise
        except BaseException as error:
            if error is limit:
                late = f"{_HOOK} took more than {self._timeout:.3g} s and was ended"
                return Ended(late, final=True)
            return Ended(f"{_HOOK} raised {type(error).__name__}: {error}", error)
        return Ended()

    def _tried(self, greenlet: gevent.Greenlet) -> None:
        work = self._running.pop(greenlet)
        self._free += 1
        ended = greenlet.value
        if not isinstance(ended, _Stop):
            self._settle(work, ended if isinstance(ended, Ended) else Ended(f"{_HOOK} was killed"))
        self._start()

    def _settle(self, work: Work, ended: Ended) -> None:
        """Done, tried again, or lost. One that was given up meanwhile is lost already."""
        if work not in self._accepted or work in self._letters:
            return
        if not ended.message:
            self._metrics.hooks["ok"] += 1
            self._forget(work)
        elif self._stopped:
            pass  # it failed because it was ended: `give_up` tells
        elif ended.final or work.attempts > self._retries:
            self._lose(work, "failed", ended)
        elif self._is_late(work):
            self._lose(work, "undone", ended)
        else:
            self._try_again(work, ended)

    def _is_late(self, work: Work) -> bool:
        return time.monotonic() + self._pause(work) > self._no_try_after

    def _pause(self, work: Work) -> float:
        return min(_LONGEST_PAUSE, self._backoff * 2.0 ** min(work.attempts - 1, 64))

    def _try_again(self, work: Work, ended: Ended) -> None:
        """It waits without a greenlet that counts: others run meanwhile."""
        self._metrics.hook_retries += 1
        pause = self._pause(work)
        told = f"{ended.message}; tried again in {pause:.3g} s"
        tell(logging.WARNING, told, work, ended)
        self._delayed[work] = gevent.spawn_later(pause, self._queue, work)

    def _lose(self, work: Work, outcome: str, ended: Ended) -> None:
        self._metrics.hooks[outcome] += 1
        self._undone += outcome == "undone"
        tell(logging.ERROR, ended.message, work, ended)
        work.lost()

        def over(sent: bool) -> None:
            self._dead_lettered += sent and outcome == "undone"
            self._forget(work)

        self._letters.send(work, _HOOK, ended.message, over)

    def _forget(self, work: Work) -> None:
        self._accepted.pop(work, None)
        self._accepted_changed()

    def _accepted_changed(self) -> None:
        (self._room.set if len(self._accepted) < self._limit else self._room.clear)()
        (self._idle.clear if self._accepted else self._idle.set)()
