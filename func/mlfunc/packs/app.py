"""The app buildpack: the function's own files, the runtime that serves it, how it is started."""

from __future__ import annotations

import functools
import hashlib
import json
import posixpath
from typing import TYPE_CHECKING, Literal

from mlfunc import environment, function, ignore, shipping
from mlfunc.layers.tree import File, Link, Tree, entry_digest, merge, scan
from mlfunc.packs import packages
from mlfunc.packs.layer import WORKSPACE, Detection, Launch, Layer, Process, place
from mlfunc.wheels import bytecode

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.layers.tree import Entry
    from mlfunc.packs.layer import Making
    from mlfunc.project import Project

ID: Literal["mlfunc/app"] = "mlfunc/app"
# A change of how these layers are made gives them new keys.
_VERSION = 1
# Code is smaller: such a file is moved again with each change of a line.
_LARGE = 50 * 10**6
# Whoever the container runs as may be no user of the image: what asks for a home or a name finds
# the one folder that can be written to, and a name.
_ENV = {
    "MLFUNC_FUNCTION": f"{WORKSPACE}/{function.FILE}",
    "HOME": "/tmp",  # noqa: S108 - in the container
    "USER": "function",
    "LOGNAME": "function",
}


def detect(project: Project) -> Detection | None:  # noqa: ARG001 - a pack's signature
    """Every function has an app."""
    return Detection(requires=("python-deps",))


def layers(project: Project) -> tuple[Layer, ...]:
    """The runtime, where it comes from a checkout and is no package of the lock; the app."""
    checkout = environment.runtime_checkout()
    runtime = (_runtime(project, checkout),) if checkout else ()
    return (*runtime, _app(project))


def launch(project: Project) -> Launch:  # noqa: ARG001 - a pack's signature
    """It is served by the runtime."""
    web = Process("web", (packages.PYTHON, "-m", "mlfunc_runtime"), default=True)
    return Launch(env=_ENV, processes=(web,))


def files(project: Project) -> Tree:
    """The function's own files, in their place."""
    return shipping.files(project.folder, project.function, WORKSPACE.strip("/"))


def notes(project: Project) -> tuple[str, ...]:
    """What is so large that it hardly belongs to the code, and what leads out of the project."""
    found = (_note(entry) for entry in files(project).entries)
    return tuple(note for note in found if note)


def _note(entry: Entry) -> str:
    match entry:
        case File(path=path, size=size) if size > _LARGE:
            return (
                f"{_shown(path)} has {size / 1e6:.0f} MB and goes into the app's layer: a model"
                " belongs into `models:`, all else that is not needed into .mlfuncignore"
            )
        case Link(path=path, target=target) if _leads_out(path, target):
            return (
                f"{_shown(path)} links to {target}, out of the project: the image has the link and"
                " not what is there; copy it here, or name the link in .mlfuncignore"
            )
        case _:
            return ""


def _leads_out(path: str, target: str) -> bool:
    end = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target))
    return not f"{end}/".startswith(f"{WORKSPACE}/")


def _app(project: Project) -> Layer:
    return _layer("app", files(project), project.target.python)


def _runtime(project: Project, checkout: Path) -> Layer:
    python = project.target.python
    at = place(ID, "runtime").strip("/") + f"/lib/python{python}/site-packages/mlfunc_runtime"
    return _layer(
        "runtime", scan(checkout / "mlfunc_runtime", at, skip=ignore.rules(checkout)), python
    )


def _layer(name: Literal["app", "runtime"], tree: Tree, python: str) -> Layer:
    inputs = {_shown(entry.path): entry_digest(entry) for entry in tree.entries}
    whole = json.dumps([_VERSION, name, python, inputs])
    return Layer(
        name=name,
        folder=name,
        key=hashlib.sha256(whole.encode()).hexdigest(),
        make=functools.partial(_make, tree, python),
        size=tree.size,
        inputs={path: digest[:8] for path, digest in inputs.items()},
    )


def _make(tree: Tree, python: str, making: Making) -> Tree:
    shipping.refuse_secrets(tree, shown=_shown)
    return merge([tree, bytecode.of(tree, python, making.cancellation)])


def _shown(path: str) -> str:
    return path.removeprefix(WORKSPACE.strip("/") + "/")
