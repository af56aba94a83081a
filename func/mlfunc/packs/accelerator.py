"""The accelerator buildpack: the packages that belong to what the function computes on.

They are heavy and change rarely, so they lie below everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlfunc import accelerators
from mlfunc.packs import packages
from mlfunc.packs.layer import Detection, Launch

if TYPE_CHECKING:
    from mlfunc.lock import Wheel
    from mlfunc.packs.layer import Layer
    from mlfunc.project import Project

ID: Literal["mlfunc/accelerator"] = "mlfunc/accelerator"
LABEL = "io.mlfunc.accelerator"


def detect(project: Project) -> Detection | None:  # noqa: ARG001 - a pack's signature
    """Every function computes on something: cpu is a choice too."""
    return Detection(provides=("accelerator",), requires=("accelerator",))


def layers(project: Project) -> tuple[Layer, ...]:
    """The heavy packages."""
    return packages.layers(project, packages.STACK, "accelerator packages", heavy(project))


def launch(project: Project) -> Launch:
    """What the accelerator's libraries need to know."""
    kind = project.target.accelerator
    return Launch(env=accelerators.TABLE[kind].variables, labels={LABEL: kind})


def heavy(project: Project) -> list[Wheel]:
    """The packages of the project that belong to its accelerator."""
    row = accelerators.TABLE[project.target.accelerator]
    return [wheel for wheel in packages.locked(project) if row.is_heavy(wheel.name)]
