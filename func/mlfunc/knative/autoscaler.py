"""What Knative's autoscaler decides at each tick: how many instances a revision should have.

Source: serving pkg/autoscaler/scaling/autoscaler.go. What is measured comes in, the wanted number
goes out: bounds and the way to zero are `idling`'s, averages are `windows`'. No clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

# Of the stat scraper: of many instances, a sample tells the average well enough.
_ALL_SCRAPED = 3
_CONFIDENCE = 1.96**2 * 100 / 25
_LEAST_TARGET = 0.01
DELAY_TICK = 2  # seconds of one entry of the delay window


@dataclass(frozen=True)
class Policy:
    """What the autoscaler knows of a revision; times in seconds, defaults are Knative's.

    `total` is what one instance takes at once: annotation `target`, within containerConcurrency.
    """

    total: float = 100.0
    utilization: float = 0.7
    window: float = 60.0
    panic_window: float = 0.1  # of the window
    panic_threshold: float = 2.0  # times what the instances are wanted for
    up_rate: float = 1000.0
    down_rate: float = 2.0
    minimum: int = 0
    maximum: int = 0  # 0: no bound
    initial: int = 1
    activation: int = 1
    delay: float = 0.0
    retention: float = 0.0
    grace: float = 30.0
    progress: float = 600.0  # it gives a start up after as long
    burst_capacity: float = 211.0  # -1: the activator is always in the way
    reachable: bool = True  # a route names the revision
    to_zero: bool = True
    fading: bool = False  # weighted-exponential, else linear

    @property
    def target(self) -> float:
        """Requests in one instance that it aims at."""
        return max(_LEAST_TARGET, self.total * self.utilization)

    @property
    def panic_seconds(self) -> float:
        """The short window, by which a burst is seen."""
        return max(1.0, math.floor(self.window * self.panic_window + 0.5))


@dataclass(frozen=True)
class Seen:
    """What is measured at a tick: requests at once, as averages, and the instances that answer."""

    stable: float
    panic: float
    ready: int


@dataclass(frozen=True)
class Memory:
    """What the autoscaler remembers from tick to tick."""

    panic_since: float | None = None
    panic_most: int = 0
    wanted: tuple[tuple[int, int], ...] = ()  # by slot of the delay window, falling


@dataclass(frozen=True)
class Decision:
    """`excess` is burst capacity left over: from 0, the activator goes out of the way."""

    want: int
    excess: int
    panics: bool
    memory: Memory = field(repr=False)


def begin(ready: int, now: float = 0.0) -> Memory:
    """The memory of an autoscaler that starts: it panics at first, to let no instance go."""
    return Memory(panic_since=now, panic_most=ready) if ready > 1 else Memory()


def decide(policy: Policy, memory: Memory, seen: Seen, now: float) -> Decision:
    """How many instances there should be, before bounds."""
    stable, panic = (_wanted(policy, each, seen.ready) for each in (seen.stable, seen.panic))
    memory = _panicking(policy, memory, seen, now)
    want = stable
    if memory.panic_since is not None:
        memory = replace(memory, panic_most=max(memory.panic_most, stable, panic))
        want = memory.panic_most
    if policy.reachable and policy.delay > 0:
        memory = replace(memory, wanted=_recorded(policy, memory, want, now))
        want = memory.wanted[0][1]
    return Decision(want, _excess(policy, seen), memory.panic_since is not None, memory)


def enough(policy: Policy, instances: int) -> float:
    """Requests at once beyond which so many instances are not enough, on average of the window."""
    return instances * policy.target


def burst(policy: Policy, instances: int) -> float:
    """Requests at once beyond which it panics, on average of the short window."""
    needed = math.ceil(policy.panic_threshold * max(1, instances))
    return (needed - 1) * policy.target


def sample_size(instances: int) -> int:
    """How many of the instances are asked for their load."""
    if instances <= _ALL_SCRAPED:
        return instances
    return math.ceil(instances * _CONFIDENCE / (instances + _CONFIDENCE - 1))


def _wanted(policy: Policy, load: float, ready: int) -> int:
    """For a load; from tick to tick, rates bound how fast it grows and shrinks."""
    now = max(1, ready)
    least = math.floor(now / policy.down_rate) if policy.reachable else 0
    raw = math.ceil(load / policy.target)
    want = min(max(raw, least), math.ceil(policy.up_rate * now))
    return max(want, policy.activation) if raw and policy.activation > 1 else want


def _panicking(policy: Policy, memory: Memory, seen: Seen, now: float) -> Memory:
    """It begins, or goes on for a window, where the burst is a multiple of what is there."""
    needed = math.ceil(seen.panic / policy.target)
    if needed / max(1, seen.ready) >= policy.panic_threshold:
        return replace(memory, panic_since=now)
    if memory.panic_since is not None and memory.panic_since + policy.window < now:
        return replace(memory, panic_since=None, panic_most=0)
    return memory


def _recorded(policy: Policy, memory: Memory, want: int, now: float) -> tuple[tuple[int, int], ...]:
    """What was wanted within the delay, without what a later and larger number outdoes."""
    slot, slots = int(now) // DELAY_TICK, math.ceil(policy.delay / DELAY_TICK)
    kept = [(at, value) for at, value in memory.wanted if value > want and at > slot - slots]
    return (*kept, (slot, want))


def _excess(policy: Policy, seen: Seen) -> int:
    if policy.burst_capacity in (0, -1):
        return int(policy.burst_capacity)
    return math.floor(seen.ready * policy.total - policy.burst_capacity - seen.panic)
