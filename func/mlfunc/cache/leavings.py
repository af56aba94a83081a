"""What makes builds faster, and what broken ones have left, as items of the cache."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mlfunc.cache import disk, holding
from mlfunc.cache.items import Item
from mlfunc.layers import locks, store
from mlfunc.wheels import bytecode, staging

if TYPE_CHECKING:
    from pathlib import Path


def find() -> list[Item]:
    """Compiled modules as one, and folders in which killed builds have worked."""
    modules = [path] if (path := bytecode.place()).is_dir() else []
    left = [path for top in _workplaces() for path in locks.left(top)]
    return [*disk.each(modules, _modules), *disk.each(left, _unfinished)]


def remove_modules(item: Item) -> None:
    """Take away what was compiled."""
    shutil.rmtree(item.place)


def sweep(_: Item) -> None:
    """Take away what no program works in; each build does it where it begins to."""
    for top in _workplaces():
        locks.sweep(top)


def _modules(path: Path) -> Item:
    name, parts = "compiled modules", {str(path): disk.whole(path)}
    used, busy = holding.last(path), holding.is_held(path)
    return Item("modules", path.name, name, path, parts, used, busy=busy)


def _unfinished(path: Path) -> Item:
    name, parts = "what a killed build has left", {str(path): disk.whole(path)}
    return Item("unfinished", path.name, name, path, parts, path.stat().st_mtime)


def _workplaces() -> tuple[Path, ...]:
    return staging.place(), store.place() / "scratch"
