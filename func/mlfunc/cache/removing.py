"""What is to go is taken away: each item if it still may when nobody can begin to use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cache import environments, holding, images, inventory, leavings, models, projects
from mlfunc.cache.items import goes, without

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.cache.items import Item, Kind, Plan, Wish


@dataclass(frozen=True)
class Removed:
    """What went, what somebody began to use before it could, and how many bytes are free now."""

    gone: tuple[Item, ...]
    kept: tuple[Item, ...]
    size: int


# What programs hold while they use it.
_HELD: Mapping[Kind, Callable[[Item], None]] = {
    "environment": environments.remove,
    "model": models.remove,
    "modules": leavings.remove_modules,
}
_FREE: Mapping[Kind, Callable[[Item], None]] = {
    "image": images.remove,
    "unfinished": leavings.sweep,
}
_FILES: tuple[Kind, ...] = ("model", "download")
_LAYERS: tuple[Kind, ...] = ("image", "layer")


def remove(found: Sequence[Item], plan: Plan, wish: Wish) -> Removed:
    """Carry out a plan for what was found.

    Raises:
        MlfuncError: who uses something cannot be read.

    """
    gone = tuple(item for item in plan.gone if _remove(item, wish))
    parts = without(found, gone).parts
    left = parts.keys() - _remove_parts(gone, parts)
    for project in projects.noted():
        if not project.exists:
            projects.forget(project)
    kept = tuple(item for item in plan.gone if item not in gone)
    return Removed(gone, kept, sum(size for part, size in parts.items() if part not in left))


def _remove(item: Item, wish: Wish) -> bool:
    if item.kind in _FREE:
        _FREE[item.kind](item)
    if item.kind not in _HELD:
        return True
    with holding.alone(item.place) as nobody:
        # Who has ended since it was found may have left it to a project or a deployment.
        may_go = nobody and goes(inventory.users().of(item), wish)
        if may_go:
            _HELD[item.kind](item)
    return may_go


def _remove_parts(gone: Sequence[Item], parts: Mapping[str, int]) -> set[str]:
    """Those that went with their items, and those that go now; some may be in use."""
    files = _parts(gone, _FILES) & parts.keys()
    layers = _parts(gone, _LAYERS) & parts.keys()
    others = parts.keys() - files - layers
    return {*others, *models.remove_files(files), *images.remove_layers(layers)}


def _parts(gone: Sequence[Item], kinds: Sequence[Kind]) -> set[str]:
    return {part for item in gone if item.kind in kinds for part in item.parts}
