"""How many instances each revision shall have, as time goes by, by Knative's own autoscaler.

While all revisions are at zero, nothing here runs: a request that comes to one wakes it.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.knative.scaler import TICK_SECONDS, Scaler

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.idling import Phase
    from mlfunc.supervisor.parts import Gateway, Key, Load

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Scale:
    """How a revision is scaled now. `wanted`: so many it is said to want; `instances`: so many it
    shall have, those that are kept until the last second among them.
    """

    instances: int = 0
    wanted: int = 0
    ready: int = 0
    phase: Phase = "inactive"
    initialized: bool = False  # it has had its first instances
    late: bool = False  # they were not ready in time


class Scaling:
    """All revisions. `ready` counts the instances of one that answer; `changed` is told of one
    whose scale is another, `clock` is in seconds and grows.
    """

    def __init__(
        self,
        gateway: Gateway,
        ready: Callable[[Key], int],
        changed: Callable[[Key], None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._gateway = gateway
        self._ready = ready
        self._changed = changed
        self._clock = clock or self._loop.time
        self._revisions: dict[Key, _Revision] = {}
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, key: Key, policy: Policy, *, new: bool, by_rate: bool = False) -> Scale:
        """Scale it by this policy from now on; one that is new gets its first instances."""
        found = self._revisions.get(key)
        if found is None:
            found = self._revisions[key] = _Revision(policy, self._clock(), new=new)
        found.by_rate = by_rate
        if found.obey(policy):
            self._tick(key, found, self._clock())
        self._arm()
        return self.scale(key)

    def forget(self, key: Key) -> None:
        """There is no such revision any more."""
        self._revisions.pop(key, None)

    def scale(self, key: Key) -> Scale:
        """Of a revision, now."""
        found = self._revisions.get(key)
        return found.scale(self._ready(key)) if found else Scale(ready=self._ready(key))

    def heed(self, key: Key) -> None:
        """Instances of it have become ready, or are not any more."""
        found = self._revisions.get(key)
        if found and (found.starts or not self._ready(key)):
            self._tick(key, found, self._clock())
            self._arm()

    def wake(self, key: Key) -> None:
        """A request waits, and there is no instance."""
        found = self._revisions.get(key)
        if found is None or found.instances:
            return
        now = self._clock()
        self._gateway.load(key)  # what it says from now on is of now
        found.record_first(int(now))
        self._tick(key, found, now)
        self._arm()

    def look(self) -> None:
        """What is done each second: loads are taken, and it is decided by them."""
        now = self._clock()
        for key, found in list(self._revisions.items()):
            if found.is_awake:
                found.record(int(now), self._gateway.load(key))
                if found.is_due(now):
                    self._tick(key, found, now)

    def close(self) -> None:
        """No more."""
        self._revisions.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, key: Key, found: _Revision, now: float) -> None:
        before = found.scale(0)
        found.tick(now, self._ready(key))
        if found.scale(0) != before:
            self._changed(key)

    def _arm(self) -> None:
        if self._timer is None and any(each.is_awake for each in self._revisions.values()):
            # In the middle of each second, so that none is left out, and none comes twice.
            self._timer = self._loop.call_at(math.floor(self._loop.time() + 0.5) + 0.5, self._again)

    def _again(self) -> None:
        self._timer = None
        self.look()
        self._arm()


class _Revision:
    """One, and what it was told to have."""

    def __init__(self, policy: Policy, now: float, *, new: bool) -> None:
        self.by_rate = False
        first = max(policy.initial, policy.minimum if policy.reachable else 0)
        self.instances = self._wanted = first if new else 0
        self._scaler = Scaler(policy, begins=now, new=new and first > 0)
        self._ticked: float | None = None
        self._counted = 0.0  # of the request that woke it, which its load counts again
        self._late = False

    @property
    def is_awake(self) -> bool:
        """Else it has nothing, and is decided on when a request comes."""
        return bool(self.instances) or self._scaler.standing.phase != "inactive"

    @property
    def starts(self) -> bool:
        """It waits for instances to be ready."""
        return self._scaler.standing.phase == "activating"

    def is_due(self, now: float) -> bool:
        return self._ticked is None or now - self._ticked >= TICK_SECONDS - _LOOK_SECONDS / 2

    def obey(self, policy: Policy) -> bool:
        """Whether that is another than before, or the first."""
        if self._ticked is not None and policy == self._scaler.policy:
            return False
        self._scaler.obey(policy)
        return True

    def record_first(self, second: int) -> None:
        self._scaler.record(second, 1.0)
        self._counted = 1.0

    def record(self, second: int, load: Load) -> None:
        value = float(load.requests) if self.by_rate else load.concurrency
        self._scaler.record(second, max(0.0, value - self._counted))
        self._counted = 0.0

    def tick(self, now: float, ready: int) -> None:
        told = self._scaler.tick(now, ready)
        self._ticked = now
        if told.scale is not None:
            self.instances = self._wanted = told.scale
        elif self._scaler.standing.phase == "inactive":
            self._wanted = told.want
        self._late |= self._is_late(now)

    def scale(self, ready: int) -> Scale:
        standing = self._scaler.standing
        return Scale(
            instances=self.instances,
            wanted=self._wanted,
            ready=ready,
            phase=standing.phase,
            initialized=standing.initialized,
            late=self._late and not standing.initialized,
        )

    def _is_late(self, now: float) -> bool:
        standing = self._scaler.standing
        return self.starts and now - standing.since >= self._scaler.policy.progress
