"""What a buildpack needs settled, under a lifecycle: what mlfunc.lock has, else asked for now.

Each buildpack settles its own part only. Those before it may have taken their files away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlfunc.layers.store import opened
from mlfunc.models import pinning
from mlfunc.wheels import resolve

if TYPE_CHECKING:
    from mlfunc.lock import Lock, ModelPin
    from mlfunc.project import Project


def settle(pack_id: str, project: Project) -> Lock:
    """The lock with all that this buildpack looks at.

    Raises:
        UsageError: the packages cannot be had for the target, or a model is nowhere.
        EnvironmentFailed: an index does not answer.

    """
    lock = project.lock
    match pack_id:
        case "mlfunc/accelerator" | "mlfunc/python":
            known = lock.python.get(project.target.name)
            packages = resolve.resolve(project.folder, project.target, known)
            return replace(lock, python={**lock.python, project.target.name: packages})
        case "mlfunc/model":
            return replace(
                lock, models={name: _pin(project, name) for name in project.function.models}
            )
        case _:
            return lock


def _pin(project: Project, name: str) -> ModelPin:
    with opened() as store:
        return pinning.pin(
            pinning.Asked(
                name=name,
                model=project.function.all_models[name],
                folder=project.folder,
                previous=project.lock.models.get(name),
                sha256_of=store.hashes.of_all,
            )
        )
