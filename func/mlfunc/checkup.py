"""What this machine has and lacks: one function a check, each with its verdict and the fix.

What a project has is looked at by `project_checkup`, what a cluster has by `platforms`.
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

from mlfunc import __version__, environment, function, paths, ports, running
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Verdict = Literal["ok", "warn", "fail"]

_GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")
_PORT = 8080


@dataclass(frozen=True)
class Check:
    """One finding: what it is about, which commands need it, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    needed_by: str
    fix: str = ""


def examine(
    folder: Path | None, context: str | None = None, namespace: str | None = None
) -> list[Check]:
    """All checks, in the order in which commands come to need them; the folder may be none.

    `context` is of kubeconfig.
    """
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _installer,
        _runtime,
        _disk,
        _cpu,
        _memory,
        _port,
        lambda: _project(folder),
        _registry,
        _functions,
        _local,
        lambda: _cluster(folder, context, namespace),
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
    fix = "" if verdict == "ok" else "mlfunc cache prune, or set MLFUNC_HOME to another disk"
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


def _registry() -> Iterator[Check]:
    folder = _existing(paths.running())
    if not os.access(folder, os.W_OK | os.X_OK):
        detail = f"{folder} cannot be written to: `mlfunc invoke` finds functions by their URL only"
        fix = "set XDG_RUNTIME_DIR to a folder of yours"
        yield Check("registry", "warn", detail, "run, invoke", fix)


def _functions() -> Iterator[Check]:
    entries = [str(entry) for entry in running.everything()]
    yield Check("functions", "ok", ", ".join(entries) or "none runs here", "invoke")


def _project(folder: Path | None) -> Iterator[Check]:
    from mlfunc import project_checkup

    yield from project_checkup.examine(folder)


def _local() -> Iterator[Check]:
    from mlfunc.platforms.local import examining

    yield from examining.examine()


def _cluster(folder: Path | None, context: str | None, namespace: str | None) -> Iterator[Check]:
    from mlfunc.platforms.knative import examining

    loaded = None
    with contextlib.suppress(MlfuncError):  # of which the row of the project tells
        loaded = function.load(folder or Path())
    yield from examining.examine(loaded, context, namespace)


def _existing(path: Path) -> Path:
    """It, or the innermost folder around it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _cgroup(name: str) -> str:
    with contextlib.suppress(OSError):
        return (_CGROUP / name).read_text(encoding="ascii").strip()
    return ""
