"""What a project has and lacks: its files, models, packages, and the registry it is pushed to."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import accelerators, environment, function, lock, predictor
from mlfunc.checkup import Check
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.oci.reference import Reference

# What fetches a model, and the extra that brings it.
_CLIENTS = {"hf": ("huggingface_hub", "hf"), "s3": ("boto3", "s3")}


def examine(given: Path | None) -> Iterator[Check]:
    """The rows; where no folder is given, there may be no project."""
    folder = given or Path()
    if not (folder / function.FILE).is_file():
        detail = f"none in {folder.absolute()}"
        if given is None:
            yield Check("project", "ok", detail, "run, test")
        else:
            fix = "mlfunc create NAME, or name another with --path"
            yield Check("project", "warn", detail, "run, test", fix)
        return
    try:
        loaded = function.load(folder)
    except MlfuncError as error:
        yield Check("project", "fail", error.message, "run, test", error.hint or "correct it")
        return
    yield Check("project", "ok", f"{loaded.name} in {folder.absolute()}", "run, test")
    yield from _files(folder, loaded)
    yield from _accelerator(loaded)
    yield _environment(folder, loaded)
    yield from _image(folder, loaded)


def _files(folder: Path, loaded: function.Function) -> Iterator[Check]:
    yield _predictor(folder, loaded)
    for name, uri in loaded.local_models.items():
        yield _model(name, uri, folder / uri)
    yield from _remote_models(folder, loaded)


def _predictor(folder: Path, loaded: function.Function) -> Check:
    try:
        predictor.check(folder, loaded)
    except MlfuncError as error:
        return Check("predictor", "fail", error.message, "run, test, build", error.hint)
    return Check("predictor", "ok", loaded.predictor, "run, test, build")


def _model(name: str, uri: str, path: Path) -> Check:
    if not path.exists():
        detail, fix = f"{name}: {uri} is not there", "put the model there: README.md may say how"
        return Check("model", "warn", detail, "run", fix)
    if path.is_dir() and not any(path.iterdir()):
        return Check("model", "warn", f"{name}: {uri} is empty", "run", "put the model there")
    return Check("model", "ok", f"{name}: {uri}", "run")


def _accelerator(loaded: function.Function) -> Iterator[Check]:
    """Whether what the function computes on is here; an image is built without."""
    kind = loaded.accelerator_type
    devices = accelerators.TABLE[kind].devices
    there = next((device for device in devices if Path(device).exists()), None)
    if there:
        yield Check("accelerator", "ok", f"{kind}: {there}", "run")
    elif devices:
        detail = f"{kind}: no {' or '.join(devices)} here: the function computes on the CPU"
        fix = "install its driver, or run it where there is one; `mlfunc build` needs none"
        yield Check("accelerator", "warn", detail, "run", fix)


def _remote_models(folder: Path, loaded: function.Function) -> Iterator[Check]:
    from mlfunc.models import obtaining

    try:
        pins = lock.load(folder).models
    except MlfuncError as error:
        yield Check("lock", "fail", error.message, "run, build", error.hint)
        return
    for name, model in obtaining.remote(loaded).items():
        module, extra = _CLIENTS[model.uri.partition(":")[0]]
        if obtaining.is_here(pins.get(name), model):
            yield Check("model", "ok", f"{name}: {model.uri}, here", "run, build")
        elif importlib.util.find_spec(module) is None:
            detail = f"{name}: {model.uri} needs {module}"
            yield Check("model", "warn", detail, "run, build", f"pip install 'mlfunc[{extra}]'")
        else:
            detail = f"{name}: {model.uri}, fetched by the first `mlfunc run`"
            yield Check("model", "ok", detail, "run, build")


def _environment(folder: Path, loaded: function.Function) -> Check:
    try:
        made = environment.place(environment.describe(folder, loaded))
    except MlfuncError as error:
        return Check("environment", "fail", error.message, "run, test", error.hint)
    detail = f"at {made.folder}" if made.complete else "made by the first `mlfunc run`"
    return Check("environment", "ok", detail, "run, test")


def _image(folder: Path, loaded: function.Function) -> Iterator[Check]:
    """What `mlfunc build` would build on, and whether it may push where it would."""
    # These bring the clients of registries: only who has a project pays for them.
    from mlfunc.builder import naming

    try:
        references = naming.named(loaded).references
        yield _base(folder, loaded, references[0].registry if references else "")
        if references:
            yield _push(references[0])
    except MlfuncError as error:
        yield Check("push", "warn", error.message, "build, deploy", error.hint)


def _base(folder: Path, loaded: function.Function, own: str) -> Check:
    from mlfunc.builder import base, fetching
    from mlfunc.oci.transport import Access

    chosen = base.choose(loaded, loaded.target_python).image
    access = Access(os.environ, own=own, waits=())
    try:
        fetching.look_for(fetching.Asked(chosen, loaded.build.platform, folder, access))
    except MlfuncError as error:
        return Check("base image", "warn", error.message, "build", error.hint)
    return Check("base image", "ok", chosen, "build")


def _push(to: Reference) -> Check:
    from mlfunc.oci import credentials
    from mlfunc.oci.registry import Remote
    from mlfunc.oci.transport import Access

    Remote(to, Access(os.environ, own=to.registry, waits=()), push=True).manifest_digest(to.target)
    known = credentials.find(to, os.environ, own=True)
    who = f"as {known.user}" if known and known.user else "without login"
    return Check("push", "ok", f"{to.registry} answers {who}", "build, deploy")
