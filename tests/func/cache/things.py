"""Things to have in a cache, made as commands make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import environment as environments
from mlfunc import function
from mlfunc.environment import Spec
from mlfunc.layers.tree import File, Tree
from mlfunc.models.obtaining import obtain
from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.layers.making import Made
    from mlfunc.layers.store import Store


def environment(key: str, project: Path) -> Path:
    """One that a project uses: complete, for Python is there, too."""
    made = environments.use(Spec("uv", "uv", "3.11", project, (), key))
    (made.folder / "bin").mkdir(parents=True, exist_ok=True)
    made.python.unlink(missing_ok=True)
    made.python.symlink_to("/bin/true")
    (made.folder / "module.py").write_bytes(bytes(8192))
    made.stamp.touch()
    return made.folder


def fetched(project: Path, uri: str) -> Path:
    """A project, made if need be, that has a model fetched."""
    project.mkdir(exist_ok=True)
    (project / "mlfunc.yaml").write_text(f"name: x\nmodels: {{default: {uri}}}\n")
    obtain(project, function.load(project), (), lambda _: None, Cancellation())
    return project


def layer(opened: Store, name: str) -> Made:
    """A layer as a build makes it."""
    return opened.obtain(name, lambda: Tree((File(name, (name.encode(),)),)), "zstd")
