"""Instances of a revision as time goes by: the scenarios of a simulation of Knative, second by second."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.knative.autoscaler import Policy
from mlfunc.supervisor.control.scaling import Scale, Scaling
from mlfunc.supervisor.parts import Key, Load

from tests.func.supervisor.control.rig import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

KEY = Key("default", "f-00001")
STABLE = Policy(total=4, window=60, burst_capacity=-1)


class World:
    """Requests at once are `load` of a second; each instance is ready after its cold start."""

    def __init__(self, policy: Policy, cold_start: float = 0.0, *, new: bool = False) -> None:
        self.now = 0.0
        self.load: Callable[[float], float] = lambda now: 0.0
        self.gateway = Gateway([])
        self.changes: list[tuple[float, int]] = []
        self._cold_start = cold_start
        self._ready_at: list[float] = []
        self.scaling = Scaling(self.gateway, self._ready, self._changed, lambda: self.now)
        self.scaling.follow(KEY, policy, new=new)
        self._changed(KEY)

    @property
    def scale(self) -> Scale:
        return self.scaling.scale(KEY)

    def wake(self) -> None:
        self.scaling.wake(KEY)

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            if any(self.now - 1 < at <= self.now for at in self._ready_at):
                self.scaling.heed(KEY)
            at_once = self.load(self.now)
            self.gateway.loads[KEY] = Load(at_once, round(at_once), 0, 0)
            self.scaling.look()

    def obey(self, policy: Policy) -> None:
        self.scaling.follow(KEY, policy, new=False)

    def until_zero(self, limit: int = 1000) -> float:
        while self.scale.instances and self.now < limit:
            self.passes(1)
        return self.now

    def _ready(self, key: Key) -> int:
        return sum(at <= self.now for at in self._ready_at)

    def _changed(self, key: Key) -> None:
        count = self.scaling.scale(KEY).instances
        self._ready_at = self._ready_at[:count]
        while len(self._ready_at) < count:
            self._ready_at.append(self.now + self._cold_start)
        self.changes.append((self.now, count))


def on_a_loop(story: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(story)
    def test(**given: object) -> None:
        asyncio.run(story(**given))

    return test


@pytest.mark.parametrize(("ends", "zero"), [(11, 73), (50, 112)])
@on_a_loop
async def test_it_is_at_zero_a_window_and_some_ticks_after_the_last_request(
    ends: float, zero: float
) -> None:
    world = World(STABLE, cold_start=10)
    world.load = lambda now: float(now <= ends)

    world.wake()

    assert world.scale.instances == 1
    assert world.until_zero() == pytest.approx(zero, abs=2)


@on_a_loop
async def test_a_burst_starts_instances_as_it_is_seen() -> None:
    """Twenty requests of 10 s at four slots, while instances start for 15 s."""
    world = World(STABLE, cold_start=15)
    world.load = lambda now: 20.0 if now <= 20 else 0.0
    world.wake()

    world.passes(14)

    assert world.changes == [(0, 0), (0, 1), (2, 5), (4, 6), (6, 8)]
    world.passes(6)
    world.passes(50)
    assert world.scale.instances == 8  # a panic lets none go
    assert world.until_zero() < 110


@on_a_loop
async def test_a_new_one_has_its_first_instances_and_is_not_initialized_before_they_are_ready() -> (
    None
):
    world = World(Policy(initial=3, progress=600), cold_start=5, new=True)

    assert (world.scale.instances, world.scale.phase) == (3, "activating")
    assert not world.scale.initialized

    world.passes(6)

    assert (world.scale.phase, world.scale.initialized) == ("active", True)


@on_a_loop
async def test_one_that_was_ready_before_begins_at_its_least() -> None:
    assert World(STABLE).scale.instances == 0
    assert World(Policy(minimum=2)).scale.instances == 2


@on_a_loop
async def test_the_least_counts_only_while_somebody_reaches_it() -> None:
    world = World(Policy(minimum=2, window=6))
    world.passes(10)
    assert world.scale.instances == 2

    world.obey(Policy(minimum=2, window=6, reachable=False))
    world.passes(20)

    assert world.scale.instances == 0


@on_a_loop
async def test_retention_keeps_the_last_one() -> None:
    world = World(Policy(window=6, retention=40, burst_capacity=-1))
    world.load = lambda now: float(now <= 1)
    world.wake()

    assert world.until_zero() == pytest.approx(50, abs=4)


@on_a_loop
async def test_a_delay_holds_what_was_wanted() -> None:
    world = World(Policy(total=10, utilization=1, window=6, delay=60, burst_capacity=-1))
    world.load = lambda now: 40.0 if now <= 10 else 1.0
    world.wake()
    world.passes(60)
    assert world.scale.instances == 4

    world.passes(20)
    assert world.scale.instances == 2  # half of them at once, and no more

    world.passes(60)

    assert world.scale.instances == 1


@on_a_loop
async def test_a_start_that_takes_too_long_is_given_up_until_it_is_asked_for() -> None:
    world = World(Policy(progress=100), cold_start=10_000, new=True)

    world.passes(99)
    assert not world.scale.late
    world.passes(4)
    assert (world.scale.late, world.scale.instances) == (True, 1)
    world.passes(32)
    assert (world.scale.phase, world.scale.instances) == ("inactive", 0)

    world.wake()
    assert world.scale.instances == 1


@on_a_loop
async def test_one_request_that_waits_wakes_once() -> None:
    world = World(STABLE, cold_start=10)
    world.wake()
    world.wake()

    assert [count for _, count in world.changes] == [0, 1]


@on_a_loop
async def test_what_it_has_measured_counts_for_another_policy() -> None:
    world = World(Policy(total=10, utilization=1, window=60, burst_capacity=-1))
    world.load = lambda now: 9.0
    world.wake()
    world.passes(20)
    assert world.scale.instances == 1

    world.obey(Policy(total=3, utilization=1, window=30, burst_capacity=-1))

    assert world.scale.instances == 3


@on_a_loop
async def test_requests_a_second_count_where_they_are_the_measure() -> None:
    world = World(Policy(total=10, utilization=1, burst_capacity=-1))
    world.scaling.follow(
        KEY, Policy(total=10, utilization=1, burst_capacity=-1), new=False, by_rate=True
    )
    world.wake()
    world.now = 1
    for _ in range(10):
        world.now += 1
        world.gateway.loads[KEY] = Load(0.1, 40, 0, 0)
        world.scaling.look()

    assert world.scale.instances == 4


@on_a_loop
async def test_its_timer_runs_only_while_something_has_instances() -> None:
    loop = asyncio.get_running_loop()
    asked: list[float] = []
    keep = loop.call_at

    def noted(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
        asked.append(when)
        return keep(when, *rest, **more)

    loop.call_at = noted  # type: ignore[method-assign, assignment]
    world = World(STABLE)
    assert asked == []

    world.wake()

    assert len(asked) == 1
    assert asked[0] % 1 == 0.5  # in the middle of a second
    world.scaling.close()
