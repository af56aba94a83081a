"""mlfunc.lock: what a build stands on, as it was settled before, and else as it is now.

Nothing is written here. What is settled already is not asked for again: no registry, index or hub
hears of a build in which nothing has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from mlfunc import lock, shipping
from mlfunc.builder import base
from mlfunc.errors import UsageError
from mlfunc.models import delivery, pinning
from mlfunc.oci.transport import Access
from mlfunc.proc import Cancellation
from mlfunc.project import Project, Target
from mlfunc.wheels import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.builder.base import Base
    from mlfunc.function import Function, Platform
    from mlfunc.layers.store import Store
    from mlfunc.lock import Lock, ModelPin, Resolution
    from mlfunc.oci.reference import Reference


@dataclass(frozen=True)
class Settling:
    """Who settles: for what, and with what it may use."""

    folder: Path
    function: Function
    store: Store
    platform: Platform | None = None
    upgrade: bool = False
    access: Access = field(default_factory=Access)
    to: Reference | None = None  # where it will be pushed
    report: Callable[[str], None] = lambda _: None
    cancellation: Cancellation = field(default_factory=Cancellation)

    @property
    def target(self) -> Target:
        """What the image is for; Python is the one that `mlfunc run` takes."""
        function = self.function
        platform = self.platform or function.build.platform
        return Target(platform, function.target_python, function.accelerator_type)


def settle(this: Settling) -> tuple[Project, Base]:
    """The project with all that it depends on, and its base image.

    Raises:
        MlfuncError: something cannot be had, or does not fit.
        Cancelled: it was broken off.

    """
    check(this.folder, this.function)
    before = lock.load(this.folder)
    chosen = base.choose(this.function, this.target.python)
    pinned = None if this.upgrade else before.bases.get(this.target.platform)
    finder = base.Finder(this.store, this.folder, this.access, this.to, this.report)
    below = base.settle(chosen, this.target, pinned, finder)
    settled = lock.Lock(
        bases={**before.bases, this.target.platform: below.pin},
        python={**before.python, this.target.name: _packages(this, before)},
        models={name: _model(this, name, before) for name in sorted(this.function.models)},
    )
    project = Project(this.folder, this.function, settled, this.target, below.pin.python)
    return project, below


def check(folder: Path, function: Function) -> None:
    """Whether there is a function that can be built: before anything is asked for.

    Raises:
        UsageError: its predictor is not there, mlfunc.yaml holds a secret, or a model cannot be
            delivered from where it lies.

    """
    shipping.check(folder, function)
    for name, model in function.all_models.items():
        delivery.choose(name, model, size=0)


def refuse_changes(before: Lock, settled: Lock) -> None:
    """For `--locked`.

    Raises:
        UsageError: what was settled is not what mlfunc.lock has.

    """
    blocks = [
        name
        for name in ("bases", "python", "models")
        if msgspec.to_builtins(getattr(before, name)) != msgspec.to_builtins(getattr(settled, name))
    ]
    if blocks:
        message = f"{lock.FILE} does not fit the project any more: {', '.join(blocks)}"
        raise UsageError(message, "mlfunc build without --locked, and commit the file")


def _packages(this: Settling, before: Lock) -> Resolution:
    return resolve.resolve(
        this.folder,
        this.target,
        before.python.get(this.target.name),
        upgrade=this.upgrade,
        report=this.report,
        cancellation=this.cancellation,
    )


def _model(this: Settling, name: str, before: Lock) -> ModelPin:
    asked = pinning.Asked(
        name=name,
        model=this.function.all_models[name],
        folder=this.folder,
        previous=before.models.get(name),
        sha256_of=this.store.hashes.of_all,
        report=this.report,
        cancellation=this.cancellation,
    )
    return pinning.pin(asked, upgrade=this.upgrade)
