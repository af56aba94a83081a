"""Environments of functions, as items of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import environment
from mlfunc.cache import disk, holding
from mlfunc.cache.items import Item
from mlfunc.environment import Environment

if TYPE_CHECKING:
    from pathlib import Path


def find() -> list[Item]:
    """All that are there."""
    return disk.each(disk.folders(environment.folder()), _environment)


def remove(item: Item) -> None:
    """Take one away."""
    environment.remove(Environment(item.place))


def _environment(path: Path) -> Item:
    parts, busy = {str(path): disk.own(path)}, holding.is_held(path)
    return Item("environment", path.name, path.name, path, parts, holding.last(path), busy=busy)
