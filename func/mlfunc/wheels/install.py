"""Wheels become the files of a layer, as they are in every build: uv unpacks, nothing is run.

    stage     wheels -> an installed copy in a folder of ours, by uv
    tree      the copy -> a Tree, at its place in the image

The copy is never written to: uv links its files to those of its cache. What has to read otherwise
in the image, scripts and RECORD, is made anew in memory.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlfunc.errors import EnvironmentFailed, NotFound
from mlfunc.layers.tree import File, Link, Range, Tree
from mlfunc.wheels import bytecode, elf, failures, pylock, requirements
from mlfunc.wheels.resolve import Run, call, python_platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlfunc.layers.tree import Entry
    from mlfunc.lock import Wheel

# What installers note for themselves: when, by whom and from where is no part of an image.
_NOTES = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}
_SITE = re.compile(r"^lib(?:64)?/python3\.\d+/site-packages(?=/)")
_SHEBANG = re.compile(
    rb"\A#!(?:/bin/sh\n'''exec' [^\n]*\n' '''|[^\n]*python[^\n]*)(?=\n)", re.DOTALL
)


@dataclass(frozen=True)
class Place:
    """Where packages are in the image, and for what they are."""

    prefix: str  # layers/mlfunc_python/deps
    interpreter: str  # what its scripts are started with
    python: str  # 3.11
    arch: str

    @property
    def site(self) -> str:
        """Its folder of packages."""
        return f"{self.prefix}/lib/python{self.python}/site-packages"


@dataclass(frozen=True)
class Distribution:
    """An installed package: its files by their paths below the copy's folder."""

    name: str
    info: str  # the path of its .dist-info
    files: tuple[str, ...]


def tree(
    wheels: Iterable[Wheel],
    place: Place,
    folder: Path,
    scratch: Path,
    environ: Mapping[str, str] = os.environ,
) -> Tree:
    """Wheels of the project in `folder` as they are in the image, compiled; `scratch` must stay.

    Raises:
        NotFound: a wheel was a file here once, and is no more.
        EnvironmentFailed: an index does not answer, or has other bytes than those that were locked.
        UsageError: a package is for another architecture.

    """
    wheels = tuple(wheels)
    copy = scratch / "installed"
    stage(wheels, place, folder, copy, environ)
    installed = {d.name: d for d in distributions(copy)}
    entries: dict[str, Entry] = {}
    for wheel in wheels:
        distribution = installed[wheel.name]
        elf.check(copy, distribution.files, place.arch, wheel.name)
        # Two packages may have the same file, such as the __init__.py of a shared namespace.
        entries |= {entry.path: entry for entry in _entries(copy, distribution, place)}
    sources = {w: _modules(installed[w.name], place) for w in wheels}
    compiled = bytecode.compile_wheels(sources, copy, place.python)
    entries |= {entry.path: entry for entry in compiled}
    return Tree(tuple(sorted(entries.values(), key=lambda entry: entry.path)))


def stage(
    wheels: Iterable[Wheel],
    place: Place,
    folder: Path,
    copy: Path,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Install wheels into a folder, each exactly as locked."""
    asked = requirements.read(folder, environ)
    lock = copy.with_name("pylock.toml")
    lock.write_text(pylock.write(wheels, lambda w: _origin(w, asked.folders)), encoding="utf-8")
    target = ["--python-version", place.python, "--python-platform", python_platform(place.arch)]
    exact = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    plain = ["--no-progress", "--color", "never", "--preview-features", "pylock"]
    into = ["--prefix", str(copy), "--python", sys.executable]
    argv = ["pip", "install", "--requirements", str(lock), *into, *target, *exact, *plain]
    ended = call(argv, Run({**environ, **asked.variables}, lambda _: None))
    if ended.code != 0:
        raise failures.of_install(ended.tail)


def distributions(copy: Path) -> Iterator[Distribution]:
    """The packages in an installed copy."""
    for record in sorted(copy.glob("lib*/python3.*/site-packages/*.dist-info/RECORD")):
        with record.open(newline="", encoding="utf-8") as lines:
            paths = [row[0] for row in csv.reader(lines) if row]
        site = record.parent.parent
        files = (os.path.normpath(site / path) for path in paths)
        name = requirements.normalise(record.parent.name.partition("-")[0])
        info = record.parent.relative_to(copy).as_posix()
        relative = (Path(file).relative_to(copy).as_posix() for file in files)
        yield Distribution(name, info, tuple(sorted(relative)))


def _origin(wheel: Wheel, folders: Iterable[Path]) -> str:
    if wheel.url is not None:
        return wheel.url
    file = requirements.locate(wheel, folders)
    if file is None:
        hint = "put it into wheels/ of the project, or name its folder: UV_FIND_LINKS=FOLDER"
        raise NotFound(f"{wheel.file}, which mlfunc.lock names, is not on this machine", hint)
    return str(file)


def _entries(copy: Path, distribution: Distribution, place: Place) -> Iterator[Entry]:
    record = []
    for path in distribution.files:
        if path.startswith(f"{distribution.info}/") and PurePosixPath(path).name in _NOTES:
            continue
        entry = _entry(copy, path, place)
        record.append(_line(entry, place, copy, path))
        yield entry
    yield _record(f"{_at(distribution.info + '/', place)}RECORD", record, place)


def _entry(copy: Path, path: str, place: Place) -> File | Link:
    """A file of the copy, at its place."""
    at, source = _at(path, place), copy / path
    if source.is_symlink():
        return Link(at, os.readlink(source))
    facts = source.stat()
    executable = bool(facts.st_mode & 0o111)
    if path.startswith("bin/") and (script := _script(source, place)) is not None:
        return File(at, (script,), executable=True)
    return File(at, (Range(source, 0, facts.st_size),), executable)


def _at(path: str, place: Place) -> str:
    return f"{place.prefix}/{_SITE.sub(f'lib/python{place.python}/site-packages', path)}"


def _script(source: Path, place: Place) -> bytes | None:
    """A script with the image's Python in its first line; None: it is no script of Python."""
    data = source.read_bytes()
    line = b"#!" + place.interpreter.encode()
    return _SHEBANG.sub(lambda _: line, data) if _SHEBANG.match(data) else None


def _line(entry: File | Link, place: Place, copy: Path, path: str) -> tuple[str, str, str]:
    """A line of RECORD: what uv wrote of the file, but for those that are not as uv wrote them."""
    relative = os.path.relpath(entry.path, place.site)
    match entry:
        case File(_, (bytes(data),)):
            return relative, _digest(data), str(len(data))
        case _:
            return relative, *_noted(copy)
