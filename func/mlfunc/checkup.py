"""What this machine has and lacks: one function a check, each with its verdict and the fix.

Nothing that is found is a secret: values of variables, tokens and headers are never read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlfunc import __version__, accelerators, environment, function, lock, paths, ports, running
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.oci.reference import Reference

Verdict = Literal["ok", "warn", "fail"]

_GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")
_PORT = 8080
# What fetches a model, and the extra that brings it.
_CLIENTS = {"hf": ("huggingface_hub", "hf"), "s3": ("boto3", "s3")}


@dataclass(frozen=True)
class Check:
    """One finding: what it is about, which commands need it, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    needed_by: str
    fix: str = ""


def examine(folder: Path | None) -> list[Check]:
    """All checks, in the order in which commands come to need them; the folder may be none."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _installer,
        _runtime,
        _disk,
        _cpu,
        _memory,
        _port,
        lambda: _project(folder),
        lambda: _image(folder or Path()),
        _registry,
        _functions,
    )
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Check]:
    detail = f"{platform.python_version()}, mlfunc {__version__}"
    yield Check("python", "ok", detail, "all")


def _installer() -> Iterator[Check]:
    if uv := environment.find_uv():
        yield Check("installer", "ok", f"uv at {uv}", "run, test")
    elif importlib.util.find_spec("ensurepip"):
        yield Check("installer", "warn", "pip: slower than uv", "run, test", "pip install uv")
    else:
        detail = "neither uv nor the venv module of Python"
        yield Check("installer", "fail", detail, "run, test", "pip install uv")


def _runtime() -> Iterator[Check]:
    requirement = environment.runtime_requirement()
    where = f"checkout at {requirement[1]}" if requirement[0] == "-e" else requirement[0]
    yield Check("runtime", "ok", where, "run, test")


def _disk() -> Iterator[Check]:
    folder = _existing(paths.cache())
    free = shutil.disk_usage(folder).free / _GIB
    verdict: Verdict = "ok" if free >= 10 else "warn" if free >= 2 else "fail"
    fix = "" if verdict == "ok" else f"make room, or set MLFUNC_HOME; {paths.cache()}/envs can go"
    yield Check("disk", verdict, f"{free:.0f} GiB free for {paths.cache()}", "run, test", fix)
    if not os.access(folder, os.W_OK | os.X_OK):
        detail = f"{folder} cannot be written to"
        yield Check("cache", "fail", detail, "run, test", "set MLFUNC_HOME to a folder of yours")


def _cpu() -> Iterator[Check]:
    ours = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    count = float(len(ours) or os.cpu_count() or 1)
    quota, _, period = _cgroup("cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        count = min(count, int(quota) / int(period))
    verdict: Verdict = "ok" if count >= 1 else "warn"
    fix = "" if verdict == "ok" else "give this container a whole core: models load slowly on less"
    yield Check("cpu", verdict, f"{count:g} cores", "run", fix)


def _memory() -> Iterator[Check]:
    limit = _cgroup("memory.max")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = min(total, int(limit)) if limit.isdigit() else total
    verdict: Verdict = "ok" if size >= 2 * _GIB else "warn"
    fix = "" if verdict == "ok" else "a model of any size needs 2 GiB or more"
    yield Check("memory", verdict, f"{size / _GIB:.1f} GiB", "run", fix)


def _port() -> Iterator[Check]:
    try:
        ports.check("127.0.0.1", _PORT)
    except MlfuncError as error:
        yield Check("port", "warn", error.message, "run", "mlfunc run --port 0")
    else:
        yield Check("port", "ok", f"{_PORT} is free", "run")


def _project(given: Path | None) -> Iterator[Check]:
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
    yield from _project_files(folder, loaded)
    yield from _accelerator(loaded)
    yield _project_environment(folder, loaded)


def _project_files(folder: Path, loaded: function.Function) -> Iterator[Check]:
    file = loaded.predictor.partition(":")[0]
    if not (folder / file).is_file():
        detail = f"{file} is not there"
        yield Check("predictor", "fail", detail, "run, test", f"write it, or mend {function.FILE}")
    for name, uri in loaded.local_models.items():
        yield _model(name, uri, folder / uri)
    yield from _remote_models(folder, loaded)


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


def _project_environment(folder: Path, loaded: function.Function) -> Check:
    try:
        made = environment.place(environment.describe(folder, loaded))
    except MlfuncError as error:
        return Check("environment", "fail", error.message, "run, test", error.hint)
    detail = f"at {made.folder}" if made.complete else "made by the first `mlfunc run`"
    return Check("environment", "ok", detail, "run, test")


def _image(folder: Path) -> Iterator[Check]:
    """What `mlfunc build` would build on, and whether it may push where it would."""
    try:
        loaded = function.load(folder)
    except MlfuncError:
        return
    # These bring the clients of registries: only who has a project pays for them.
    from mlfunc.builder import base, naming

    chosen = base.choose(loaded, loaded.python or ".".join(platform.python_version_tuple()[:2]))
    yield Check("base image", "ok", chosen.image, "build")
    try:
        named = naming.named(loaded)
        if named.references:
            yield _push(named.references[0])
    except MlfuncError as error:
        yield Check("push", "warn", error.message, "build", error.hint)


def _push(to: Reference) -> Check:
    from mlfunc.oci import credentials
    from mlfunc.oci.registry import Remote
    from mlfunc.oci.transport import Access

    Remote(to, Access(os.environ, own=to.registry, waits=()), push=True).manifest_digest(to.target)
    known = credentials.find(to, os.environ, own=True)
    who = f"as {known.user}" if known and known.user else "without login"
    return Check("push", "ok", f"{to.registry} answers {who}", "build")


def _registry() -> Iterator[Check]:
    folder = _existing(paths.running())
    if not os.access(folder, os.W_OK | os.X_OK):
        detail = f"{folder} cannot be written to: `mlfunc invoke` finds functions by their URL only"
        fix = "set XDG_RUNTIME_DIR to a folder of yours"
        yield Check("registry", "warn", detail, "run, invoke", fix)


def _functions() -> Iterator[Check]:
    entries = [str(entry) for entry in running.everything()]
    yield Check("functions", "ok", ", ".join(entries) or "none runs here", "invoke")


def _existing(path: Path) -> Path:
    """It, or the innermost folder around it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _cgroup(name: str) -> str:
    with contextlib.suppress(OSError):
        return (_CGROUP / name).read_text(encoding="ascii").strip()
    return ""
