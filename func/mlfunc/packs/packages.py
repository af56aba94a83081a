"""Layers of installed packages, for the buildpacks that have some: which share one, and their keys.

A large wheel has a layer of its own, so that another's change leaves it where it is. All wheels of
a folder share one site-packages: torch finds its libraries by paths relative to its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import environment, leaks
from mlfunc.layers.tree import File, Tree, merge
from mlfunc.packs.layer import Layer, place
from mlfunc.wheels import install, staging, tables
from mlfunc.wheels.install import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.lock import Wheel
    from mlfunc.packs.layer import Making
    from mlfunc.project import Project

DEPS = place("mlfunc/python", "deps")
STACK = place("mlfunc/accelerator", "stack")
PYTHON = f"{DEPS}/bin/python"
TABLES = f"{DEPS}/import-cache"

# A change of how wheels become files gives these layers new keys.
_VERSION = 2
_LARGE = 32 * 2**20


def site(at: str, project: Project) -> str:
    """The folder of packages of a layer."""
    return f"{at}/lib/python{project.target.python}/site-packages"


def locked(project: Project) -> list[Wheel]:
    """The packages of the project for its target."""
    resolution = project.lock.python.get(project.target.name)
    return resolution.packages if resolution is not None else []


def layers(
    project: Project, at: str, rest: str, wheels: Sequence[Wheel], more: Tree | None = None
) -> tuple[Layer, ...]:
    """A layer for each large wheel, and one called `rest` for the others and `more`."""
    large = [wheel for wheel in wheels if is_large(wheel, at)]
    small = [wheel for wheel in wheels if wheel not in large]
    own = (_layer(project, at, f"{each.name} {each.version}", (each,), None) for each in large)
    last = (_layer(project, at, rest, tuple(small), more),) if small or more else ()
    return (*own, *last)


def is_large(wheel: Wheel, at: str) -> bool:
    """Whether a wheel is a layer of its own. The indexes of torch do not tell sizes."""
    return at == STACK if wheel.size is None else wheel.size >= _LARGE


def _layer(
    project: Project, at: str, name: str, wheels: tuple[Wheel, ...], more: Tree | None
) -> Layer:
    entries = repr(more.entries) if more else ""
    digests = [wheel.sha256 for wheel in wheels]
    whole = json.dumps([_VERSION, at, project.target.python, digests, entries])
    inputs = {f"{wheel.name} {wheel.version}": wheel.sha256[:8] for wheel in wheels}
    if more:
        inputs["environment"] = hashlib.sha256(entries.encode()).hexdigest()[:8]
    return Layer(
        name=name,
        folder=at.rpartition("/")[2],
        key=hashlib.sha256(whole.encode()).hexdigest(),
        make=functools.partial(_make, project, at, wheels, more),
        wheels=_total(wheels),
        inputs=inputs,
    )


def _total(wheels: tuple[Wheel, ...]) -> int | None:
    sizes = [wheel.size for wheel in wheels if wheel.size is not None]
    return sum(sizes) if len(sizes) == len(wheels) else None


def _make(
    project: Project, at: str, wheels: tuple[Wheel, ...], more: Tree | None, making: Making
) -> Tree:
    target, scratch = project.target, staging.folder()
    there = Place(at.strip("/"), PYTHON, target.python, target.arch)
    installed = install.tree(
        wheels, there, project.folder, scratch, cancellation=making.cancellation
    )
    leaks.check(installed, published=True)
    worked_out = _tables(site(f"{scratch}/installed", project))
    return merge([installed, worked_out, more or Tree()])


def _tables(packages: str) -> Tree:
    """What a library would work out at each import, where it is known: worked out now."""
    code = (environment.runtime_checkout() or Path(packages)) / "mlfunc_runtime"
    table = tables.bake(Path(packages), code) if code.is_dir() else None
    return Tree((File(f"{TABLES.strip('/')}/{tables.FILE}", (table,)),) if table else ())
