"""Numbers out of measurements: percentiles, arrivals, and which rounds to believe."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.processes import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A round is believed when a fixed loop beside it took at most this much longer than in the best.
TOLERANCE = 1.10
_SPIN_LOOPS = 400_000


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all are not above (nearest rank).

    Raises:
        ValueError: there are no values.

    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrivals at `rate` a second for `seconds`: times from 0, the same for the same seed."""
    chance = random.Random(seed)
    times, now = [], chance.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(rate)
    return times


def lengths(count: int, seed: int, *, middle: float = 20, spread: float = 0.9) -> list[int]:
    """Numbers of tokens in texts: log-normal around `middle`, from 4 to 256."""
    chance = random.Random(seed)
    drawn = (middle * chance.lognormvariate(0, spread) for _ in range(count))
    return [min(256, max(4, round(length))) for length in drawn]


def spin() -> float:
    """Wall-clock seconds of a fixed computation: longer when others use this core."""
    began, total = time.perf_counter(), 0
    for number in range(_SPIN_LOOPS):
        total += number
    return time.perf_counter() - began


def spin_on(cores: set[int]) -> float:
    """`spin` on these cores."""
    with pinned(cores):
        return spin()


@dataclass(frozen=True)
class Round:
    """What one round measured of each subject, and how long the fixed loop took beside it."""

    values: dict[str, float]
    spin: float


def quiet(rounds: Sequence[Round]) -> list[Round]:
    """The rounds whose fixed loop was within TOLERANCE of the best; never fewer than one."""
    best = min(each.spin for each in rounds)
    return [each for each in rounds if each.spin <= best * TOLERANCE]


def ratio(rounds: Sequence[Round], one: str, other: str) -> float:
    """`one` over `other` within each round, as what disturbs a round disturbs both; the median."""
    return statistics.median(each.values[one] / each.values[other] for each in rounds)


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """The median of each subject over the rounds."""
    return {
        name: statistics.median(each.values[name] for each in rounds) for name in rounds[0].values
    }


def interleaved(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """ABC, CBA, ABC: what drifts with time falls on all alike."""
    for number in range(rounds):
        yield list(names) if number % 2 == 0 else list(reversed(names))
