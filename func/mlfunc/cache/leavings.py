"""What makes builds faster, and what broken ones have left, as items of the cache."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mlfunc.cache import disk, holding
from mlfunc.cache.items import Item
from mlfunc.layers import locks, store
from mlfunc.wheels import bytecode, staging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def find() -> Iterator[Item]:
    """Compiled modules as one, and folders in which killed builds have worked."""
    if (modules := bytecode.place()).is_dir():
        parts = {str(modules): disk.whole(modules)}
        busy = holding.is_held(modules)
        name = "compiled modules"
        yield Item("modules", modules.name, name, modules, parts, holding.last(modules), busy=busy)
    for top in _workplaces():
        yield from (_unfinished(path) for path in locks.left(top))


def remove_modules(item: Item) -> None:
    """Take away what was compiled."""
    shutil.rmtree(item.place)


def sweep(_: Item) -> None:
    """Take away what no program works in; each build does it where it begins to."""
    for top in _workplaces():
        locks.sweep(top)


def _unfinished(path: Path) -> Item:
    name, parts = "what a killed build has left", {str(path): disk.whole(path)}
    return Item("unfinished", path.name, name, path, parts, path.stat().st_mtime)


def _workplaces() -> tuple[Path, ...]:
    return staging.place(), store.place() / "scratch"
