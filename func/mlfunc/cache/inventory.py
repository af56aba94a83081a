"""What is in the cache now, and who uses it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc.cache import environments, images, leavings, models, projects, releases
from mlfunc.platforms.local import deployed
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from mlfunc.cache.items import Item
    from mlfunc.cache.projects import Project
    from mlfunc.platforms.local.deployed import Deployed


@dataclass(frozen=True)
class Users:
    """Projects that exist, and what is deployed on this machine."""

    projects: tuple[Project, ...]
    deployed: tuple[Deployed, ...]

    def of(self, item: Item) -> Item:
        """The item with those who use it."""
        found = [str(each.folder) for each in self.projects if _uses(each, item)]
        functions = {each.function for each in self.deployed if _starts_with(each, item)}
        return replace(item, projects=tuple(found), deployed=tuple(sorted(functions)))


def look() -> tuple[Item, ...]:
    """All items, with those who use them.

    Raises:
        MlfuncError: something of it cannot be read.

    """
    known = users()
    finders = (environments, models, images, leavings, releases)
    return tuple(map(known.of, itertools.chain.from_iterable(each.find() for each in finders)))


def users() -> Users:
    """As they are now.

    Raises:
        MlfuncError: the state of the local platform cannot be read.

    """
    there = tuple(project for project in projects.noted() if project.exists)
    return Users(there, deployed.find(homes.home()))


def _uses(project: Project, item: Item) -> bool:
    match item.kind:
        case "environment" | "model" | "image":
            return item.key in project.used[item.kind]
        case "modules":
            return bool(project.used["image"])
        case _:
            return False


def _starts_with(deployed: Deployed, item: Item) -> bool:
    match item.kind:
        case "environment":
            return deployed.environment.resolve() == item.place.resolve()
        case "model":
            folder = item.place.resolve()
            return any(path.resolve().is_relative_to(folder) for path in deployed.models)
        case "release":
            return deployed.digest == item.key
        case _:
            return False
