"""Requirements become exact wheels for a target: uv decides, without building anything.

    resolve    what is asked for -> a Resolution, for mlfunc.lock

Packages come from the user's own indexes first. Only where those bring what has no place beside the
accelerator, such as CUDA in a CPU function, do its own packages come from its own index; each of
them from there alone, so that no index can slip in a package of another's name.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from mlfunc import accelerators, environment, proc
from mlfunc.lock import Resolution
from mlfunc.wheels import failures, metadata, pylock, requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlfunc.accelerators import Accelerator
    from mlfunc.lock import Wheel
    from mlfunc.proc import Cancellation
    from mlfunc.project import Target
    from mlfunc.wheels.requirements import Requirements

GLIBC = "2.28"  # of the base image, at least

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_ROUTED = "mlfunc-accelerator"


class Run(NamedTuple):
    """What a run of uv needs beside its arguments."""

    folder: Path  # of the project: paths in requirements are relative to it, as for `mlfunc run`
    environ: Mapping[str, str]
    report: Callable[[str], None]
    cancellation: Cancellation | None = None


def resolve(
    folder: Path,
    target: Target,
    known: Resolution | None = None,
    *,
    glibc: str = GLIBC,
    upgrade: bool = False,
    environ: Mapping[str, str] = os.environ,
    report: Callable[[str], None] = lambda _: None,
    cancellation: Cancellation | None = None,
) -> Resolution:
    """The packages of a project for a target.

    `known` is returned as it is where it was resolved from the same; else its versions are kept as
    far as they go, unless `upgrade` asks for the latest.

    Raises:
        UsageError: they cannot be had as wheels, or have no place beside the accelerator.
        EnvironmentFailed: an index does not answer, or there is no uv.
        Cancelled: it was broken off.

    """
    accelerators.check_platform(target.accelerator, target.arch)
    asked = requirements.read(folder, environ)
    digest = asked.digest(target, glibc, environ)
    if known is not None and known.asked == digest and not upgrade:
        return known
    kept = known.packages if known is not None and not upgrade else []
    run = Run(folder, {**environ, **asked.variables}, report, cancellation)
    packages = _suitable(asked, _arguments(target, glibc), target, kept, run)
    settled = known.packages if known is not None else []
    return Resolution(digest, metadata.with_licenses(packages, settled, asked, environ, report))


def python_platform(arch: str, glibc: str = GLIBC) -> str:
    """A target as uv calls it: x86_64-manylinux_2_28."""
    return f"{_MACHINES[arch]}-manylinux_{glibc.replace('.', '_')}"


def _suitable(
    asked: Requirements, arguments: list[str], target: Target, kept: list[Wheel], run: Run
) -> list[Wheel]:
    row = accelerators.find(target.accelerator, run.environ)
    for name, version in asked.builds.items():
        if row.has_foreign([f"{name}=={version}"]):
            raise failures.foreign_build(name, version, target)
    first = _pinned_to_index(asked, row)
    packages = _compile(asked, arguments, row, first, kept, run)
    routed = first | _from_index(packages, row)
    forced = bool(run.environ.get(accelerators.TORCH_INDEX))
    if routed > first and (forced or row.foreign_of(packages)):
        packages = _compile(asked, arguments, row, routed, kept, run)
    if foreign := row.foreign_of(packages):
        raise failures.foreign(foreign, target, row)
    return packages


def _pinned_to_index(asked: Requirements, row: Accelerator) -> frozenset[str]:
    """Packages that only the accelerator's index has: of a build such as +cpu, or not torch's."""
    others = {n for index in row.indexes if "torch" not in index.packages for n in index.packages}
    known = {name for index in row.indexes for name in index.packages}
    return frozenset((asked.builds.keys() & known) | (asked.names & others))


def _from_index(packages: Iterable[Wheel], row: Accelerator) -> frozenset[str]:
    known = {name for index in row.indexes for name in index.packages}
    return frozenset(package.name for package in packages if package.name in known)


def _arguments(target: Target, glibc: str) -> list[str]:
    platform = python_platform(target.arch, glibc)
    # Any Python will do to ask with: none is looked for, and none is fetched.
    python = ["--python", sys.executable, "--python-version", target.python]
    versions = [*python, "--python-platform", platform]
    plain = ["--no-progress", "--color", "never", "--no-header", "--no-annotate"]
    return [*versions, "--only-binary", ":all:", "--format", "pylock.toml", *plain]


def _compile(
    asked: Requirements,
    arguments: list[str],
    row: Accelerator,
    routed: frozenset[str],
    kept: list[Wheel],
    run: Run,
) -> list[Wheel]:
    with tempfile.TemporaryDirectory(prefix="mlfunc-") as scratch:
        lock = Path(scratch) / "pylock.toml"
        if kept:
            lock.write_text(pylock.preferences(kept), encoding="utf-8")
        sources = [*map(str, asked.files), *_more(asked, row, routed, Path(scratch))]
        argv = ["pip", "compile", *sources, *arguments, "--output-file", str(lock)]
        ended = call(argv, run)
        if ended.code != 0:
            raise failures.of(ended.tail, row, routed)
        packages = pylock.read(lock.read_text(encoding="utf-8"))
    # uv compares hashes when it installs, and not when it resolves.
    for package in packages:
        if package.sha256 not in asked.hashes.get(package.name, {package.sha256}):
            raise failures.other_hash(package)
    return [_weighed(package, asked.folders) for package in packages]


def _more(
    asked: Requirements, row: Accelerator, routed: frozenset[str], scratch: Path
) -> list[str]:
    """Sources beside the project's own: the runtime's needs, and which index packages are from."""
    runtime = scratch / "runtime.txt"
    runtime.write_text("\n".join(asked.runtime), encoding="utf-8")
    if not routed:
        return [str(runtime)]
    route = scratch / "pyproject.toml"
    route.write_text(_route(row, routed), encoding="utf-8")
    return [str(runtime), str(route)]


def _route(row: Accelerator, routed: frozenset[str]) -> str:
    """A project that does no more than say which index each of its packages comes from."""
    used = [index for index in row.indexes if routed.intersection(index.packages)]
    names = [sorted({*routed.intersection(i.packages), *i.helpers}) for i in used]
    origin = {name: number for number, listed in enumerate(names) for name in listed}
    lines = [
        f'[project]\nname = "{_ROUTED}"\nversion = "0"\ndependencies = {json.dumps([*origin])}',
        "[tool.uv.sources]",
        *(f'{name} = {{ index = "{_ROUTED}-{number}" }}' for name, number in origin.items()),
        *(_index(f"{_ROUTED}-{number}", index.url) for number, index in enumerate(used)),
    ]
    return "\n".join(lines)


def _index(name: str, url: str) -> str:
    kind = "simple" if "://" in url else "flat"
    address = f"name = {json.dumps(name)}\nurl = {json.dumps(url)}"
    return f'[[tool.uv.index]]\n{address}\nformat = "{kind}"\nexplicit = true'


def _weighed(wheel: Wheel, folders: Iterable[Path]) -> Wheel:
    """With its size, which uv does not tell of files here."""
    if wheel.size is not None:
        return wheel
    file = requirements.locate(wheel, folders)
    return wheel if file is None else replace(wheel, size=file.stat().st_size)


def call(argv: list[str], run: Run) -> proc.Finished:
    """Run uv with the user's settings.

    Raises:
        EnvironmentFailed: it is not installed.

    """
    uv = environment.find_uv()
    if uv is None:
        raise failures.no_uv()
    variables = environment.uv_variables(run.environ)
    # An environment that happens to be active is not what packages are chosen for.
    kept = {name: value for name, value in variables.items() if name != "VIRTUAL_ENV"}
    return proc.run(
        [uv, *argv], cwd=run.folder, env=kept, on_line=run.report, cancellation=run.cancellation
    )
