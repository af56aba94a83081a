"""The batcher's rules and cost model in simulated time, against open-loop Poisson arrivals.

Two models: one that pads texts to the longest of the batch, and one whose batches cost by number.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc_runtime.batches import Item
from mlfunc_runtime.cost import Cost
from mlfunc_runtime.load import Load
from mlfunc_runtime.messages import Request
from mlfunc_runtime.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Truth = Callable[[int, float], float]
    Arrival = tuple[float, float]
    Ends = list[tuple[float, int, list[Item], float]]

REQUEST = Request()
FOREVER = float("inf")


def padded(n: int, longest: float) -> float:
    return 0.008 + 0.0003 * n * longest


def counted(n: int, longest: float) -> float:
    return 0.008 + 0.0047 * n


def sentence(chance: random.Random) -> float:
    """Tokens of a sentence: log-normal between 4 and 256, 27 in the mean."""
    return min(256.0, max(4.0, chance.lognormvariate(3.0, 0.8)))


def arrivals(rate: float, count: int = 4000, seed: int = 1) -> Iterator[Arrival]:
    """When, and of what size."""
    chance = random.Random(seed)
    now = 0.0
    for _ in range(count):
        now += chance.expovariate(rate)
        yield now, sentence(chance)


class Fifo(Waiting):
    """What others do: the oldest, whatever their sizes."""

    def take(self, now: float) -> tuple[list[Item], list[Item]]:
        batch = [self._items.popleft() for _ in range(min(self.max_size, len(self._items)))]
        for item in batch:
            self._leave(item)
        return batch, []


@dataclass
class Outcome:
    """Seconds that each answered request took, was told that it would take, and had."""

    latencies: list[float] = field(default_factory=list)
    foretold: list[float] = field(default_factory=list)
    arrived: int = 0
    refused: int = 0
    late: int = 0

    def percentile(self, part: float) -> float:
        return sorted(self.latencies)[int(part * (len(self.latencies) - 1))]

    def within(self, limit: float) -> int:
        return sum(latency <= limit for latency in self.latencies)


@dataclass
class Simulation:
    """A model with slots; `truth` is what a batch takes, give or take 5 %."""

    truth: Truth
    waiting: Waiting
    load: Load
    free: list[int]
    slo: float
    admit: bool
    ends: Ends = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    outcome: Outcome = field(default_factory=Outcome)

    def run(self, coming: Iterator[Arrival]) -> Outcome:
        arrival = next(coming, None)
        while arrival is not None or self.ends:
            if arrival is None or (self.ends and self.ends[0][0] <= arrival[0]):
                now = self.end()
            else:
                now = self.arrive(*arrival)
                arrival = next(coming, None)
            while self.free and self.begin(now):
                pass
        return self.outcome

    def arrive(self, now: float, size: float) -> float:
        item = Item(REQUEST, {}, size)
        item.enqueued, item.deadline = now, now + self.slo
        ahead = self.waiting.count
        alone = self.free and not ahead
        item.outcome = 0.0 if alone else self.load.wait(now, ahead, ahead, self.waiting.units)
        self.outcome.arrived += 1
        if self.admit and item.outcome > self.slo:
            self.outcome.refused += 1
        else:
            self.waiting.add(item)
        return now

    def begin(self, now: float) -> bool:
        batch, late = self.waiting.take(now)
        self.outcome.late += len(late)
        if batch:
            slot = self.free.pop()
            self.load.begin(batch, now, left=self.waiting.count)
            took = self.truth(*shape(batch)) * (1 + abs(self.chance.gauss(0, 0.05)))
            heapq.heappush(self.ends, (now + took, slot, batch, now))
        return bool(batch)

    def end(self) -> float:
        now, slot, batch, began = heapq.heappop(self.ends)
        self.free.append(slot)
        self.load.end(batch)
        self.waiting.cost.observe(*shape(batch), now - began)
        self.outcome.latencies += [now - item.enqueued for item in batch]
        self.outcome.foretold += [item.outcome for item in batch]
        return now


def shape(batch: Sequence[Item]) -> tuple[int, float]:
    return len(batch), max(item.size for item in batch)


def run(
    rate: float,
    truth: Truth = padded,
    *,
    max_size: int = 16,
    queue: type[Waiting] = Waiting,
    slo: float = FOREVER,
    admit: bool = False,
    slots: int = 1,
) -> Outcome:
    cost = Cost()
    load = Load(cost, max_size, slots)
    free = list(range(slots))
    world = Simulation(truth, queue(cost, max_size), load, free, slo, admit)
    return world.run(arrivals(rate))


def test_mixed_lengths_at_a_rate_where_first_in_first_out_collapses() -> None:
    ours, fifo, single = run(60), run(60, queue=Fifo), run(60, max_size=1)
    assert ours.percentile(0.5) < 0.070
    assert ours.percentile(0.99) < 0.350
    assert single.percentile(0.5) > 2 * ours.percentile(0.5)
    assert fifo.percentile(0.5) > 100 * ours.percentile(0.5)


def test_a_quarter_more_than_one_by_one_can_do_is_still_served() -> None:
    assert run(80).percentile(0.99) < 2.0
    assert run(80, max_size=1).percentile(0.5) > 3.0


@pytest.mark.parametrize(("rate", "p50", "p99"), [(60, 25, 60), (100, 35, 90), (140, 55, 145)])
def test_where_sizes_mean_nothing_it_is_late_binding_without_a_wait(
    rate: float, p50: float, p99: float
) -> None:
    outcome = run(rate, counted)
    assert outcome.percentile(0.5) * 1e3 < p50
    assert outcome.percentile(0.99) * 1e3 < p99


@pytest.mark.parametrize(("truth", "rate"), [(padded, 100), (counted, 250)])
@pytest.mark.parametrize("admit", [True, False])
def test_overload_costs_those_above_capacity_and_no_others(
    truth: Truth, rate: float, admit: bool
) -> None:
    outcome = run(rate, truth, slo=0.25, admit=admit)
    in_time, ran = outcome.within(0.25), len(outcome.latencies)
    assert in_time > 0.7 * outcome.arrived
    assert in_time > 0.9 * ran
    assert ran + outcome.late + outcome.refused == outcome.arrived
    assert (outcome.refused > 0) == admit


def test_below_capacity_nobody_is_refused_and_hardly_anybody_late() -> None:
    outcome = run(50, slo=0.5, admit=True)
    assert outcome.refused + outcome.late <= 0.002 * outcome.arrived


def test_two_slots_serve_twice_as_many() -> None:
    assert run(120, slots=2).percentile(0.5) < 0.070


@pytest.mark.parametrize("rate", [70, 80, 100])
def test_the_wait_that_is_foretold_is_about_the_one_that_comes(rate: float) -> None:
    outcome = run(rate)
    pairs: list[Any] = list(zip(outcome.foretold, outcome.latencies, strict=True))[200:]
    loaded = [(told, came) for told, came in pairs if told > 0.1]
    assert len(loaded) > 100
    assert 0.6 < sum(told for told, _ in loaded) / sum(came for _, came in loaded) < 1.6
