"""So many instances of each revision, as processes of this machine."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from mlfunc.supervisor.fleet.allocation import Allocation
from mlfunc.supervisor.fleet.member import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc.supervisor.fleet.logs import Logs
    from mlfunc.supervisor.fleet.patience import Backoff
    from mlfunc.supervisor.parts import Blueprint, Instance, Key

# Those of Kubernetes' own names: no vowels, so that they are no words.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Processes:
    """`parts.Fleet`. They are started from the loop's thread: the kernel ends them with that."""

    def __init__(
        self,
        logs: Logs,
        pause: Callable[[Backoff], float] = lambda backoff: backoff.pause,
        allocation: Allocation | None = None,
    ) -> None:
        self._logs = logs
        self._allocation = allocation or Allocation()
        self._pause = pause
        self._members: dict[str, Member] = {}
        self._listeners: list[Callable[[Instance], None]] = []
        self._closing = False
        self._empty = asyncio.Event()

    def scale(self, blueprint: Blueprint, instances: int) -> None:
        """Start those that are missing. Of those that are too many, end the ones that wait for
        accelerators, then the newest.
        """
        lasting = self._lasting(blueprint)
        for member in lasting[instances:]:
            member.leave()
        if not self._closing:
            for _ in range(instances - len(lasting)):
                self._add(blueprint)

    def instances(self, revision: Key | None = None) -> Sequence[Instance]:
        """As they are now."""
        found = (member.instance for member in self._members.values())
        return [each for each in found if revision in (None, each.revision)]

    def listen(self, tell: Callable[[Instance], None]) -> None:
        """From now on."""
        self._listeners.append(tell)

    def folders(self) -> set[str]:
        """Where processes run, or will be started again."""
        return {member.blueprint.folder for member in self._members.values()}

    async def close(self) -> None:
        """End all, side by side."""
        self._closing = True
        for member in [*self._members.values()]:
            member.leave()
        if self._members:
            await self._empty.wait()

    def _lasting(self, blueprint: Blueprint) -> list[Member]:
        """Those that were not told to go; from their next start on, they are of this blueprint."""
        mine = [m for m in self._members.values() if m.blueprint.revision == blueprint.revision]
        for member in mine:
            member.blueprint = blueprint
        staying = [member for member in mine if not member.leaves]
        return sorted(staying, key=lambda member: member.waits)

    def _add(self, blueprint: Blueprint) -> None:
        end = "".join(secrets.choice(_LETTERS) for _ in range(5))
        name = f"{blueprint.revision.name}-deployment-{end}"
        member = self._members[name] = Member(
            blueprint, name, self._logs, self._allocation, self._changed, self._pause
        )
        member.start()

    def _changed(self, instance: Instance) -> None:
        if instance.phase == "ended":
            del self._members[instance.name]
            if not self._members and self._closing:
                self._empty.set()
        for tell in [*self._listeners]:
            tell(instance)
        if instance.phase == "ended":
            self._start_waiting()

    def _start_waiting(self) -> None:
        """What one had is free, and who has waited longest comes first."""
        for member in [each for each in self._members.values() if each.waits]:
            member.start()
