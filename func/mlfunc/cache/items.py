"""Things of the cache as plain data, and which of them go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Kind = Literal[
    "environment", "model", "download", "image", "layer", "modules", "unfinished", "release"
]


@dataclass(frozen=True)
class Item:
    """A thing that is kept or goes as a whole.

    `key` tells it from others of its kind, `name` is what people know it by. `parts` are bytes on
    the disk by where they are: files that items share are parts of each.
    `projects` and `deployed` use it; where it is `busy`, a program that runs now does.
    """

    kind: Kind
    key: str
    name: str
    place: Path
    parts: Mapping[str, int]
    used: float  # when last, in seconds since 1970
    projects: tuple[str, ...] = ()
    deployed: tuple[str, ...] = ()
    busy: bool = False

    @property
    def size(self) -> int:
        """In bytes; what it shares included."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Wish:
    """What is to go: what nothing uses, or with `all` what only projects do.

    Of that, what was used at `before` or later stays.
    """

    before: float
    all: bool = False


@dataclass(frozen=True)
class Plan:
    """What goes, and which parts with it: those that nothing shares which stays."""

    gone: tuple[Item, ...]
    parts: Mapping[str, int]

    @property
    def size(self) -> int:
        """How many bytes that frees."""
        return sum(self.parts.values())


def plan(items: Iterable[Item], wish: Wish) -> Plan:
    """What goes."""
    known = tuple(items)
    return without(known, [item for item in known if goes(item, wish)])


def without(items: Iterable[Item], gone: Iterable[Item]) -> Plan:
    """What it comes to if these go."""
    chosen = tuple(gone)
    kept = {part for item in items if item not in chosen for part in item.parts}
    parts = {part: size for item in chosen for part, size in item.parts.items()}
    return Plan(chosen, {part: size for part, size in parts.items() if part not in kept})


def total(items: Iterable[Item]) -> int:
    """In bytes, each once."""
    return sum({part: size for item in items for part, size in item.parts.items()}.values())


def goes(item: Item, wish: Wish) -> bool:
    """Whether it may, and is to; the local platform itself removes its releases."""
    is_needed = item.busy or item.deployed or (item.projects and not wish.all)
    return not is_needed and item.kind != "release" and item.used < wish.before
