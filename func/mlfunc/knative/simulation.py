"""What becomes of requests to a function on Knative, in simulated time: instances, and who waits.

One activator, always in the way (target-burst-capacity -1, as mlfunc deploys): several, as a large
cluster has, share the instances out among them and balance a little worse. Pure.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlfunc.knative import idling
from mlfunc.knative.instances import Fleet, Request, Serving
from mlfunc.knative.scaler import TICK_SECONDS, Scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.instances import Instance


@dataclass(frozen=True)
class Moment:
    """How things stand in a second in which the instances change."""

    at: float
    wanted: int
    ready: int
    waiting: int  # requests that no slot has taken yet
    panics: bool


@dataclass(frozen=True)
class Latency:
    """Seconds from a request to its reply; NaN where there was none."""

    p50: float
    p99: float
    longest: float


@dataclass(frozen=True)
class Outcome:
    """What became of the requests. `idle`: when it was back at its least; seconds, as all here."""

    timeline: tuple[Moment, ...]
    latency: Latency
    answered: int
    timed_out: int
    idle: float
    instance_seconds: float


def at_once(requests: int, within: float = 0.0) -> list[float]:
    """Arrivals of so many requests, evenly within so many seconds."""
    return [within * number / requests for number in range(requests)]


def steady(rate: float, seconds: float) -> list[float]:
    """Arrivals of so many requests a second."""
    return [number / rate for number in range(math.ceil(rate * seconds))]


def simulate(policy: Policy, serving: Serving, arrivals: Sequence[float]) -> Outcome:
    """Requests that arrive at these seconds, at a function that has long been idle."""
    run = _Run(policy, serving, arrivals)
    run.go()
    return Outcome(
        timeline=tuple(run.timeline),
        latency=_latency(run.requests),
        answered=sum(each.answered is not None for each in run.requests),
        timed_out=sum(each.timed_out for each in run.requests),
        idle=run.now,
        instance_seconds=run.instance_seconds,
    )


class _Run:
    """The clock, and what happens at it."""

    def __init__(self, policy: Policy, serving: Serving, arrivals: Sequence[float]) -> None:
        self.now = 0.0
        self.timeline: list[Moment] = []
        self.requests = [Request(at) for at in sorted(arrivals)]
        self.instance_seconds = 0.0
        self._least = max(idling.bounded(policy, 0), 0 if policy.to_zero else 1)
        self._fleet = Fleet(serving)
        self._scaler = Scaler(policy, self._least, begins=-math.inf)
        self._meter = _Meter()
        self._open: deque[Request] = deque()
        self._to_come = len(self.requests)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._panics = False
        self._noted: tuple[int, int] | None = None

    def go(self) -> None:
        """All of it, until nothing happens any more."""
        for _ in range(self._least):
            self._fleet.open(self._fleet.start())
        for request in self.requests:
            self._at(request.arrived, partial(self._arrive, request))
        self._at(1.0, self._beat)
        while not self._is_over():
            self._pass(self._events[0][0])
            self._begin(self._fleet.hand_out())
            self._note()

    def _pass(self, until: float) -> None:
        """Time goes on to the next things that happen, and all that do so at once."""
        self.instance_seconds += len(self._fleet.instances) * (until - self.now)
        self.now = until
        while self._events and self._events[0][0] == until:
            heapq.heappop(self._events)[2]()

    def _is_over(self) -> bool:
        busy = self._to_come or self._open or self._meter.tells
        return not busy and len(self._fleet.instances) == self._least and self.now > 0

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), happen))

    def _arrive(self, request: Request) -> None:
        self._to_come -= 1
        self._open.append(request)
        first = self._meter.change(self.now, +1)
        self._fleet.waiting.append(request)
        if first:
            # The activator tells at once of the first one, which wakes the autoscaler.
            self._scaler.record(int(self.now), 1.0)
            if not self._fleet.instances:
                self._tick()

    def _begin(self, calls: Iterable[tuple[Instance, list[Request]]]) -> None:
        for instance, batch in calls:
            ends = self.now + self._fleet.serving.prediction
            self._at(ends, partial(self._end, instance, batch))

    def _end(self, instance: Instance, batch: list[Request]) -> None:
        self._fleet.end(instance, batch)
        for request in batch:
            if not request.timed_out:
                request.answered = self.now
                self._meter.change(self.now, -1)
        self._begin(self._fleet.begin(instance))

    def _beat(self) -> None:
        """Each second: the activator reports, and each other second, the autoscaler decides."""
        self._give_up()
        if self._meter.tells:
            self._scaler.record(int(self.now), self._meter.average(self.now))
        if self.now % TICK_SECONDS == 0:
            self._tick()
        self._at(self.now + 1, self._beat)

    def _give_up(self) -> None:
        oldest = self.now - self._fleet.serving.timeout
        while self._open and (self._open[0].answered or self._open[0].arrived <= oldest):
            request = self._open.popleft()
            if request.answered is None:
                self._fleet.give_up(request)
                self._meter.change(self.now, -1)

    def _tick(self) -> None:
        told = self._scaler.tick(self.now, self._fleet.ready)
        self._panics = told.panics
        if told.scale is not None:
            self._scale(told.scale - len(self._fleet.instances))

    def _scale(self, more: int) -> None:
        for _ in range(more):
            ready = self.now + self._fleet.serving.cold_start
            self._at(ready, partial(self._ready, self._fleet.start()))
        self._fleet.stop(max(0, -more))

    def _ready(self, instance: Instance) -> None:
        if not instance.leaving:
            self._fleet.open(instance)

    def _note(self) -> None:
        """How things stand now, where the instances are others than before."""
        now = (len(self._fleet.instances), self._fleet.ready)
        if now != self._noted:
            self._noted = now
            moment = Moment(round(self.now, 3), *now, self._fleet.unserved, self._panics)
            self.timeline.append(moment)


class _Meter:
    """Requests at once, as the activator reports them each second."""

    def __init__(self) -> None:
        self.tells = False  # from the first request until a second without one
        self._count = 0
        self._area = 0.0
        self._since = 0.0
        self._told = 0  # at once, with the first: not again with the next report

    def change(self, now: float, by: int) -> bool:
        """A request has come or gone; whether it is the first after a silence."""
        first, self.tells = not self.tells, True
        if first:
            self._since, self._area, self._told = now, 0.0, 1
        self._area += self._count * (now - self._since)
        self._since, self._count = now, self._count + by
        return first

    def average(self, now: float) -> float:
        """Of the second that ends now."""
        area = self._area + self._count * (now - self._since)
        self._area, self._since = 0.0, now
        told, self._told = max(0.0, area - self._told), 0
        self.tells = area > 0
        return told


def _latency(requests: Sequence[Request]) -> Latency:
    times = sorted(each.answered - each.arrived for each in requests if each.answered is not None)
    if not times:
        return Latency(math.nan, math.nan, math.nan)
    p50, p99 = (times[math.ceil(share * len(times)) - 1] for share in (0.5, 0.99))
    return Latency(p50, p99, times[-1])
