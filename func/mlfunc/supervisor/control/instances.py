"""So many instances of each revision, and those of them that are ready known to the gateway.

One that leaves gets no more requests before it is told to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc.supervisor.parts import Blueprint, Fleet, Gateway, Instance, Key


class Instances:
    """Between the fleet, which has them, and the gateway, which uses them."""

    def __init__(self, fleet: Fleet, gateway: Gateway, changed: Callable[[Instance], None]) -> None:
        self._fleet = fleet
        self._gateway = gateway
        self._changed = changed
        self._had: dict[Key, tuple[Blueprint, int]] = {}
        self._served: set[Key] = set()
        self._joined: dict[str, tuple[Key, int]] = {}  # by name: of which revision, at which port
        fleet.listen(self._hear)

    def of(self, revision: Key) -> Sequence[Instance]:
        """All that there are, those that leave included."""
        return self._fleet.instances(revision)

    def ready(self, revision: Key) -> int:
        """How many answer."""
        return sum(each.phase == "ready" for each in self._fleet.instances(revision))

    def serve(self, revision: Key, concurrency: int, timeout: float) -> None:
        """Have requests to it taken."""
        if revision not in self._served:
            self._served.add(revision)
            self._gateway.serve(revision, concurrency, timeout)
            for each in self._fleet.instances(revision):
                self._use(each)

    def have(self, blueprint: Blueprint, count: int) -> None:
        """So many of a revision, from now on."""
        key = blueprint.revision
        if self._had.get(key) != (blueprint, count):
            self._had[key] = (blueprint, count)
            self._fleet.scale(blueprint, count)

    def rescale(self, revision: Key, count: int) -> None:
        """Likewise, as they were started before, if any were."""
        if revision in self._had:
            self.have(self._had[revision][0], count)

    def forget(self, revision: Key) -> None:
        """None of it, and no requests to it any more; those that it has go on."""
        for name, (key, _) in list(self._joined.items()):
            if key == revision:
                self._leave(name)
        if revision in self._served:
            self._served.discard(revision)
            self._gateway.forget(revision)
        self.rescale(revision, 0)
        self._had.pop(revision, None)

    def _hear(self, instance: Instance) -> None:
        self._use(instance)
        self._changed(instance)

    def _use(self, instance: Instance) -> None:
        """Have the gateway send requests to it, or no more."""
        answers = instance.phase == "ready" and instance.revision in self._served
        at = (instance.revision, instance.port or 0) if answers else None
        if self._joined.get(instance.name) == at:
            return
        self._leave(instance.name)
        if at:
            self._joined[instance.name] = at
            self._gateway.join(instance.revision, instance.name, at[1])

    def _leave(self, name: str) -> None:
        if at := self._joined.pop(name, None):
            self._gateway.leave(at[0], name)
