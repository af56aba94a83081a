"""One timer for the deadlines of all requests."""

from __future__ import annotations

import time
from typing import Any

import gevent
from gevent.event import Event
from mlfunc_runtime.deadlines import Deadlines
from mlfunc_runtime.messages import Request


class Late(BaseException):
    """What is thrown."""


class Waiters:
    """Requests whose greenlets wait for `go`; `ended` are the seconds after which each was late."""

    def __init__(self) -> None:
        self.here: dict[Request, Any] = {}
        self.deadlines = Deadlines(self.here, Late)
        self.go = Event()
        self.ended: dict[str, bool] = {}

    def wait(self, name: str, seconds: float) -> gevent.Greenlet[[], None]:
        request = Request(request_id=name)
        request.deadline = time.perf_counter() + seconds
        greenlet = self.here[request] = gevent.spawn(self._wait, request)
        self.deadlines.watch(request.deadline)
        return greenlet

    def _wait(self, request: Request) -> None:
        try:
            self.go.wait()
            self.ended[request.id] = False
        except Late:
            self.ended[request.id] = True
        finally:
            self.here[request] = None


def test_only_the_late_are_ended_whatever_the_order_in_which_they_came() -> None:
    waiters = Waiters()
    jobs = [waiters.wait(name, after) for name, after in [("a", 0.2), ("b", 60), ("c", 0.05)]]
    jobs[2].join(10)
    assert waiters.ended == {"c": True}
    jobs[0].join(10)
    assert waiters.ended == {"c": True, "a": True}
    waiters.go.set()
    gevent.joinall(jobs, 10)
    assert waiters.ended == {"c": True, "a": True, "b": False}


def test_a_request_that_comes_after_the_timer_has_rung_is_ended_too() -> None:
    waiters = Waiters()
    for name in ("first", "second"):
        waiters.wait(name, 0.02).join(10)
    assert waiters.ended == {"first": True, "second": True}


def test_a_request_that_has_its_answer_is_left_alone() -> None:
    waiters = Waiters()
    waiters.go.set()
    waiters.wait("answered", 0.02).join(10)
    gevent.sleep(0.05)
    assert waiters.ended == {"answered": False}
