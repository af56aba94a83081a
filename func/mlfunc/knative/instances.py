"""Instances as a simulation has them: one activator, who gives each request to the least busy one.

Requests wait at the activator while no instance has room (`concurrency`), and in an instance while
none of its slots is free; a slot takes as many waiting ones at once as a batch may have.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Serving:
    """How an instance serves; times in seconds, `prediction` of one call of `predict`."""

    prediction: float
    cold_start: float
    slots: int = 1
    batch: int = 1
    concurrency: int = 0  # requests in it at once; 0: as many as come
    timeout: float = 300.0  # of a request, waiting included


@dataclass
class Request:
    """From `arrived` until `answered`; one that has `timed_out` will not be."""

    arrived: float
    answered: float | None = None
    timed_out: bool = False
    instance: Instance | None = None


@dataclass
class Instance:
    """Requests in it: those in `calls`, and those that wait for a slot."""

    number: int
    ready: bool = False
    leaving: bool = False
    load: int = 0
    calls: int = 0
    waiting: deque[Request] = field(default_factory=deque)


class Fleet:
    """The instances, and the requests that wait for one of them."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.waiting: deque[Request] = deque()
        self.instances: dict[int, Instance] = {}  # without those that leave
        self.ready = 0  # of them
        self._made = 0
        # By load: each change of an instance puts it there anew, and what is out of date is passed.
        self._free: list[tuple[int, int]] = []

    @property
    def unserved(self) -> int:
        """Requests that no slot has taken yet."""
        queues = (self.waiting, *(each.waiting for each in self.instances.values()))
        return sum(not each.timed_out for queue in queues for each in queue)

    def start(self) -> Instance:
        """One more, not ready yet."""
        self._made += 1
        self.instances[self._made] = made = Instance(self._made)
        return made

    def stop(self, count: int) -> None:
        """So many less: those not ready, then the least busy; they end what they have begun."""
        found = list(self.instances.values())
        found.sort(key=lambda each: (each.ready, each.load, -each.number))
        for instance in found[:count]:
            del self.instances[instance.number]
            instance.leaving = True
            self.ready -= instance.ready

    def open(self, instance: Instance) -> None:
        """It is ready."""
        instance.ready = True
        self.ready += 1
        self._offer(instance)

    def hand_out(self) -> Iterator[tuple[Instance, list[Request]]]:
        """Give requests to instances while there is room; the calls that begin by that."""
        given: dict[int, Instance] = {}
        while self.waiting and (instance := self._least_busy()):
            request = self.waiting.popleft()
            if not request.timed_out:
                request.instance = given[instance.number] = instance
                instance.load += 1
                instance.waiting.append(request)
            self._offer(instance)
        for instance in given.values():
            yield from self.begin(instance)

    def begin(self, instance: Instance) -> Iterator[tuple[Instance, list[Request]]]:
        """The calls that its free slots begin, of those that wait in it."""
        while instance.calls < self.serving.slots and (batch := self._batch(instance)):
            instance.calls += 1
            yield instance, batch

    def end(self, instance: Instance, batch: list[Request]) -> None:
        """A call is over."""
        instance.calls -= 1
        instance.load -= sum(not each.timed_out for each in batch)
        self._offer(instance)

    def give_up(self, request: Request) -> None:
        """It has waited too long; a call that it is in goes on without it."""
        request.timed_out = True
        if request.instance:
            request.instance.load -= 1
            self._offer(request.instance)

    def _batch(self, instance: Instance) -> list[Request]:
        found: list[Request] = []
        while instance.waiting and len(found) < self.serving.batch:
            request = instance.waiting.popleft()
            if not request.timed_out:
                found.append(request)
        return found

    def _offer(self, instance: Instance) -> None:
        room = self.serving.concurrency or instance.load + 1
        if instance.ready and not instance.leaving and instance.load < room:
            heapq.heappush(self._free, (instance.load, instance.number))

    def _least_busy(self) -> Instance | None:
        while self._free:
            load, number = heapq.heappop(self._free)
            found = self.instances.get(number)
            if found and found.load == load:
                return found
        return None
