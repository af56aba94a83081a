"""Which instance has which accelerators: its own, from its first start until it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc.function import AcceleratorType


class Allocation:
    """Of all instances. `find` says which devices of a kind this machine has."""

    def __init__(self, find: Callable[[AcceleratorType], Sequence[str]] = devices.found) -> None:
        self._find = find
        self._held: dict[str, tuple[AcceleratorType, tuple[str, ...]]] = {}

    def take(self, holder: str, kind: AcceleratorType, count: int) -> tuple[str, ...] | None:
        """So many, or those that it has already; None: not as many are free."""
        if count == 0:
            return ()
        if holder in self._held:
            return self._held[holder][1]
        free = self._free(kind)
        if len(free) < count:
            return None
        self._held[holder] = kind, tuple(free[:count])
        return self._held[holder][1]

    def give_back(self, holder: str) -> None:
        """All that it has."""
        self._held.pop(holder, None)

    def _free(self, kind: AcceleratorType) -> list[str]:
        held = {each for of, taken in self._held.values() for each in taken if of == kind}
        return [each for each in self._find(kind) if each not in held]
