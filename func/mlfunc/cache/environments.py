"""Environments of functions, as items of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import environment
from mlfunc.cache import disk, holding
from mlfunc.cache.items import Item
from mlfunc.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Iterator


def find() -> Iterator[Item]:
    """All that are there."""
    for path in disk.folders(environment.folder()):
        parts = {str(path): disk.own(path)}
        busy = holding.is_held(path)
        yield Item("environment", path.name, path.name, path, parts, holding.last(path), busy=busy)


def remove(item: Item) -> None:
    """Take one away."""
    environment.remove(Environment(item.place))
