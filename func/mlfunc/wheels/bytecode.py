"""Compiled modules: made once for the image, so that no start has to compile or check anything.

A .pyc is of the unchecked-hash kind (PEP 552): Python looks at no time of any file. The Python that
compiles is of the image's minor version, which is all that a .pyc depends on; what it has compiled
is kept by what it was compiled from.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlfunc import environment, paths, proc
from mlfunc.cache import holding
from mlfunc.errors import EnvironmentFailed
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Range, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlfunc.proc import Cancellation

_VERSION = "1"  # of what compiler.py writes
_COMPILER = Path(__file__).with_name("compiler.py")
_AT_ONCE = 400  # modules a process: some seconds
_UNUSED_SECONDS = 60 * 24 * 3600.0


@dataclass(frozen=True)
class Module:
    """A source here, the path that it has in the image, relative to its root, and its digest."""

    source: Path
    at: str
    digest: str
    written: int | None = None  # when it had that digest: st_mtime_ns

    @property
    def compiled_at(self) -> PurePosixPath:
        """The folder of its .pyc."""
        return PurePosixPath(self.at).parent / "__pycache__"


def compile_all(
    modules: Iterable[Module],
    python: str,
    cancellation: Cancellation | None = None,
    *,
    checked: bool = False,
) -> list[File]:
    """The .pyc of each module that is Python of this version, for a Python such as 3.11.

    With `checked`, Python is to see whether a source is still the one that was compiled.

    Raises:
        EnvironmentFailed: this machine lacks that Python.
        Cancelled: it was broken off.

    """
    ordered = sorted(modules, key=lambda module: module.at)
    parts = [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
    folder = place()
    holding.hold(folder)  # its files are read until the layers are written
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        kept = functools.partial(
            _kept, python=python, folder=folder, cancellation=cancellation, checked=checked
        )
        made = list(pool.map(kept, parts))
    return [file for files in made for file in files]


def place() -> Path:
    """The folder of what was compiled before."""
    return paths.cache() / "bytecode"


def of(tree: Tree, python: str, cancellation: Cancellation | None = None) -> Tree:
    """The compiled modules of a tree, and nothing else."""
    found = (_module(entry) for entry in tree.entries if isinstance(entry, File))
    modules = (module for module in found if module)
    return Tree(tuple(compile_all(modules, python, cancellation)))


def _module(file: File) -> Module | None:
    """The module that a file is, where it lies here as it is."""
    match file.pieces:
        case (Range(source, 0, _, written) as whole,) if file.path.endswith(".py"):
            digest = hashlib.sha256(b"".join(reading.read((whole,)))).hexdigest()
            return Module(source, file.path, digest, written)
        case _:
            return None


def interpreter(python: str) -> str:
    """A Python of this minor version on this machine.

    Raises:
        EnvironmentFailed: there is none.

    """
    if python == ".".join(platform.python_version_tuple()[:2]):
        return sys.executable
    found = shutil.which(f"python{python}") or _managed(python)
    if found is None:
        message = f"modules for Python {python} are compiled by it, and it is not on this machine"
        raise EnvironmentFailed(message, f"install it: uv python install {python}")
    return found


def _managed(python: str) -> str | None:
    """A Python that uv has installed."""
    uv = environment.find_uv()
    if uv is None:
        return None
    lines: list[str] = []
    argv = [uv, "python", "find", "--no-project", "--no-python-downloads", python]
    ended = proc.run(argv, on_line=lines.append)
    return lines[-1] if ended.code == 0 and lines else None


def _kept(
    modules: Sequence[Module],
    python: str,
    folder: Path,
    cancellation: Cancellation | None,
    *,
    checked: bool,
) -> list[File]:
    how = ["checked"] if checked else []
    parts = [_VERSION, python, *how, *((module.at, module.digest) for module in modules)]
    file = folder / hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if file.is_file():
        os.utime(file)
    else:
        _drop_unused(folder)
        _compile(modules, [interpreter(python), *how], file, cancellation)
    return list(_read(file, modules, python))


def _compile(
    modules: Sequence[Module],
    how: Sequence[str],
    file: Path,
    cancellation: Cancellation | None,
) -> None:
    python, *checked = how
    pairs = [(str(module.source), f"/{module.at}") for module in modules]
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=file.parent) as scratch:
        job, out = Path(scratch) / "job", Path(scratch) / "out"
        job.write_text(json.dumps(pairs), encoding="utf-8")
        # A set's order must not depend on a seed; no site of this machine is looked into.
        argv = [python, "-s", "-S", "-P", "-W", "ignore", str(_COMPILER), str(job), str(out)]
        argv += checked
        seed = {"PYTHONHASHSEED": "0"}
        ended = proc.run(argv, env=seed, on_line=lambda _: None, cancellation=cancellation)
        if ended.code != 0:
            message = f"{python} could not compile modules for the image"
            raise EnvironmentFailed(message, evidence=ended.tail)
        _check(modules)
        out.replace(file)


def _check(modules: Iterable[Module]) -> None:
    """Refuse what was compiled of a source that is another by now: it would be kept as this one."""
    for module in modules:
        if module.written not in {None, module.source.stat().st_mtime_ns}:
            raise reading.changed(module.source)


def _read(file: Path, modules: Sequence[Module], python: str) -> Iterator[File]:
    with file.open("rb") as data:
        lengths = json.loads(data.readline())
        offset = data.tell()
    tag = f"cpython-{python.replace('.', '')}"
    for module, length in zip(modules, lengths, strict=True):
        if length:
            name = f"{PurePosixPath(module.at).stem}.{tag}.pyc"
            yield File(str(module.compiled_at / name), (Range(file, offset, length),))
        offset += length


def _drop_unused(folder: Path) -> None:
    """What no build has wanted for two months goes, and what killed ones have left."""
    for path in folder.iterdir():
        # Another thread or program may just have removed it.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
