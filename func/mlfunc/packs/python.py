"""The python buildpack: a virtual environment with the function's packages, on the base's Python.

What belongs to the accelerator, and the runtime of a checkout, lie in layers of other buildpacks:
a .pth file names them. PYTHONPATH would also reach the Pythons that a function starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlfunc.layers.tree import File, Link, Tree
from mlfunc.packs import accelerator, packages
from mlfunc.packs.layer import Detection, Launch, place

if TYPE_CHECKING:
    from mlfunc.packs.layer import Layer
    from mlfunc.project import Project

ID: Literal["mlfunc/python"] = "mlfunc/python"
LABEL = "io.mlfunc.python"

_RUNTIME = place("mlfunc/app", "runtime")
# Output is seen as it is written, and nobody writes beside modules that are compiled already.
_ENV = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MLFUNC_IMPORT_CACHE": packages.TABLES,
}


def detect(project: Project) -> Detection | None:  # noqa: ARG001 - a pack's signature
    """Every function is Python."""
    return Detection(provides=("python-deps",), requires=("python-deps", "accelerator"))


def layers(project: Project) -> tuple[Layer, ...]:
    """The environment and all packages in it."""
    heavy = accelerator.heavy(project)
    light = [wheel for wheel in packages.locked(project) if wheel not in heavy]
    return packages.layers(project, packages.DEPS, "dependencies", light, environment(project))


def launch(project: Project) -> Launch:
    """How Python behaves."""
    return Launch(env=_ENV, labels={LABEL: project.target.python})


def environment(project: Project) -> Tree:
    """What makes a folder a virtual environment, and where else packages are."""
    at, python = packages.DEPS.strip("/"), project.target.python
    home = project.interpreter.rpartition("/")[0]
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    others = "".join(f"{packages.site(at, project)}\n" for at in (packages.STACK, _RUNTIME))
    names = ("python3", f"python{python}")
    return Tree(
        (
            File(f"{at}/pyvenv.cfg", (config.encode(),)),
            Link(f"{at}/bin/python", project.interpreter),
            *(Link(f"{at}/bin/{name}", "python") for name in names),
            File(f"{packages.site(at, project)}/mlfunc.pth", (others.encode(),)),
        )
    )
