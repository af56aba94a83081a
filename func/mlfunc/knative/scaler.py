"""The autoscaler of one revision as a whole: load goes in, each tick says how many instances.

It is Knative's, from the average to the last instance that goes; whoever has instances to start
and stop can run on it, a simulation as well. No clock: it is told the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.knative import autoscaler, idling, windows
from mlfunc.knative.autoscaler import Seen
from mlfunc.knative.idling import Standing
from mlfunc.knative.windows import Window

if TYPE_CHECKING:
    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.idling import Phase

TICK_SECONDS = 2  # between decisions; load is recorded each second


@dataclass(frozen=True)
class Told:
    """What came of a tick: `scale` instances (None: leave them), and what it was decided by."""

    scale: int | None
    want: int
    panics: bool
    seen: Seen


class Scaler:
    """Remembers loads and decisions; `ready` instances are there as it begins, at a time.

    A revision that is `new` starts `initial` instances first.
    """

    def __init__(
        self, policy: Policy, ready: int = 0, *, begins: float = 0.0, new: bool = False
    ) -> None:
        self.policy = policy
        phase: Phase = "active" if ready else "activating" if new else "inactive"
        self.standing = Standing(phase, begins, begins, initialized=not new)
        self._memory = autoscaler.begin(ready, begins)
        self._stable = Window(policy.window)
        self._panic = Window(policy.panic_seconds)

    def obey(self, policy: Policy) -> None:
        """Decide by another policy from now on; of the loads, what its windows hold is known."""
        self.policy = policy
        self._stable = self._stable.resized(policy.window)
        self._panic = self._panic.resized(policy.panic_seconds)

    def record(self, second: int, concurrency: float) -> None:
        """Requests at once, those that wait among them, as an average of that second."""
        self._stable.record(second, concurrency)
        self._panic.record(second, concurrency)

    def tick(self, now: float, ready: int) -> Told:
        """Decide; once every `TICK_SECONDS`, and at once when load comes where there was none."""
        seen = Seen(self._average(self._stable, now), self._average(self._panic, now), ready)
        decision = autoscaler.decide(self.policy, self._memory, seen, now)
        self._memory = decision.memory
        scale, self.standing = idling.settle(self.policy, self.standing, decision, ready, now)
        want = idling.bounded(self.policy, decision.want, initialized=self.standing.initialized)
        return Told(scale, want, decision.panics, seen)

    def _average(self, window: Window, now: float) -> float:
        recent = window.recent(int(now))
        if self.policy.fading:
            return windows.fading(recent, windows.smoothing(window.size))
        return windows.linear(recent)
