"""The contract of Cloud Native Buildpacks, as one of ours sees it: Buildpack API 0.10.

    detect     the app's folder -> an entry of the build plan, or 100: not for us
    build      the app's folder -> layers as folders, with what a lifecycle has to know of them

A lifecycle calls each buildpack as a process and tells it all by variables and files. It makes
layers of the folders itself. What was asked and settled here is exactly what `mlfunc build` asks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from mlfunc import function, ignore, lock, shipping
from mlfunc.errors import UsageError
from mlfunc.layers.tree import Tree, part, write
from mlfunc.packs import settled
from mlfunc.packs.layer import WORKSPACE, Making, place
from mlfunc.packs.table import PACKS
from mlfunc.project import Project, Target
from mlfunc.wheels import sbom

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlfunc.function import Function, Platform
    from mlfunc.packs.layer import Launch, Layer, Pack

NOT_FOR_US = 100
# A layer of its own, always written: those that are reused bring no files to add variables to.
_VARIABLES = "variables"
_PLATFORMS: dict[str, Platform] = {"amd64": "linux/amd64", "arm64": "linux/arm64"}


@dataclass(frozen=True)
class Call:
    """One call by a lifecycle: the app's folder, the variables, and the buildpack that is meant."""

    folder: Path
    environ: Mapping[str, str]
    pack: Pack

    def path(self, variable: str) -> Path:
        """The file or folder that a variable names."""
        return Path(self.environ[variable])


def main(arguments: Sequence[str]) -> int:
    """Answer a lifecycle; the exit code is its own or that of an error.

    Raises:
        UsageError: this is no call of a lifecycle, or the project is broken.

    """
    command = arguments[0] if len(arguments) == 1 else ""
    if command not in {"detect", "build"} or "CNB_BUILDPACK_DIR" not in os.environ:
        message = "python -m mlfunc.packs detect|build is for lifecycles of buildpacks to call"
        raise UsageError(message, "mlfunc build needs none")
    call = Call(
        Path.cwd(), _with_platform(os.environ), _pack(Path(os.environ["CNB_BUILDPACK_DIR"]))
    )
    return detect(call) if command == "detect" else build(call)


def detect(call: Call) -> int:
    """Write the build plan's entry: build plan (TOML)."""
    if not (call.folder / function.FILE).is_file():
        return NOT_FOR_US
    detection = call.pack.detect(_project(call, lock.Lock()))
    if detection is None:
        return NOT_FOR_US
    entry = {
        "provides": [{"name": name} for name in detection.provides],
        "requires": [{"name": name} for name in detection.requires],
    }
    _write(call.path("CNB_BUILD_PLAN_PATH"), entry)
    return 0


def build(call: Call) -> int:
    """Write the buildpack's layers, and what they add to the start."""
    before = _project(call, lock.load(call.folder))
    shipping.check(call.folder, before.function)
    project = _project(call, settled.settle(call.pack.ID, before))
    lock.save(call.folder, project.lock)
    layers = call.pack.layers(project)
    launch = call.pack.launch(project)
    target = call.path("CNB_LAYERS_DIR")
    for folder in dict.fromkeys(layer.folder for layer in layers):
        _lay(target, folder, [layer for layer in layers if layer.folder == folder], call)
    _write_launch(target, launch)
    if call.pack.ID == "mlfunc/python":
        (target / "deps.sbom.cdx.json").write_bytes(sbom.document(project))
    if call.pack.ID == "mlfunc/model":
        _tidy(project)
    return 0


def _pack(buildpack: Path) -> Pack:
    found = tomllib.loads((buildpack / "buildpack.toml").read_text(encoding="utf-8"))
    asked = found["buildpack"]["id"]
    return next(pack for pack in PACKS if asked == pack.ID)


def _with_platform(environ: Mapping[str, str]) -> Mapping[str, str]:
    """With the variables of the build's user, which come as files: buildpack.md, "platform"."""
    folder = Path(environ.get("CNB_PLATFORM_DIR", ""), "env")
    files = folder.iterdir() if folder.is_dir() else ()
    given = {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}
    os.environ.update(given)
    return {**environ, **given}


def _project(call: Call, known: lock.Lock) -> Project:
    loaded = function.load(call.folder)
    target = Target(_platform(call, loaded), loaded.target_python, loaded.accelerator_type)
    return Project(call.folder, loaded, known, target, _interpreter(call, target.python))


def _platform(call: Call, loaded: Function) -> Platform:
    return _PLATFORMS.get(call.environ.get("CNB_TARGET_ARCH", ""), loaded.build.platform)


def _interpreter(call: Call, python: str) -> str:
    """Where Python is in the run image: at the same path as here, where nothing else is said."""
    if given := call.environ.get("BP_MLFUNC_INTERPRETER"):
        return given
    beside = Path(sys.base_prefix, "bin", f"python{python}")
    found = str(beside) if beside.is_file() else shutil.which(f"python{python}")
    if found is None:
        message = f"there is no python{python} in this build image"
        raise UsageError(message, "set BP_MLFUNC_INTERPRETER to its path in the run image")
    return found


def _lay(target: Path, folder: str, layers: Sequence[Layer], call: Call) -> None:
    """One layer of the buildpack: kept by its key, or written."""
    if folder == "app":
        _add_to_app(layers, call.folder)
        return
    key = hashlib.sha256("\0".join(layer.key for layer in layers).encode()).hexdigest()
    description = target / f"{folder}.toml"
    if _metadata(description).get("key") != key:
        shutil.rmtree(target / folder, ignore_errors=True)
        at = place(call.pack.ID, folder).strip("/") + "/"
        for layer in layers:
            write(_below(layer.make(Making()), at), target / folder)
    _write(description, {"types": {"launch": True}, "metadata": {"key": key}})


def _metadata(description: Path) -> dict[str, Any]:
    """What the last build said of a layer, as the lifecycle has restored it."""
    if not description.is_file():
        return {}
    found: dict[str, Any] = tomllib.loads(description.read_text(encoding="utf-8"))
    metadata: dict[str, Any] = found.get("metadata", {})
    return metadata


def _add_to_app(layers: Iterable[Layer], folder: Path) -> None:
    """What is made for the image: all else is in the folder already, and more than that."""
    for path in [*ignore.left_out(folder), folder / function.FILE]:
        _remove(path)
    for layer in layers:
        tree = _below(layer.make(Making()), WORKSPACE.strip("/") + "/")
        missing, _ = part(tree, lambda entry: not os.path.lexists(folder / entry.path))
        write(missing, folder)


def _below(tree: Tree, at: str) -> Tree:
    """With paths from a folder of the image on."""
    return Tree(tuple(replace(entry, path=entry.path.removeprefix(at)) for entry in tree.entries))


def _write_launch(target: Path, launch: Launch) -> None:
    folder = target / _VARIABLES / "env.launch"
    shutil.rmtree(folder.parent, ignore_errors=True)
    if launch.env:
        folder.mkdir(parents=True)
        _write(target / f"{_VARIABLES}.toml", {"types": {"launch": True}})
    for name, value in launch.env.items():
        # A container's runtime sets HOME from the image's users, and it cannot be written to.
        how = "override" if name == "HOME" else "default"
        (folder / f"{name}.{how}").write_text(value, encoding="utf-8")
    processes = [
        {"type": each.type, "command": list(each.command), "default": each.default}
        for each in launch.processes
    ]
    labels = [{"key": key, "value": value} for key, value in sorted(launch.labels.items())]
    _write(target / "launch.toml", {"processes": processes, "labels": labels})


def _tidy(project: Project) -> None:
    """Take weights out of the app's folder, which is the lifecycle's copy: they have a layer."""
    top = project.folder.resolve()
    for uri in project.function.local_models.values():
        path = project.folder / uri
        if path.resolve() != top and path.resolve().is_relative_to(top):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, table: Mapping[str, Any]) -> None:
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
