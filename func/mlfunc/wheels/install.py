"""Wheels become the files of a layer, as they are in every build: uv unpacks, nothing is run.

    stage     wheels -> an installed copy in a folder of ours, by uv
    tree      the copy -> a Tree, at its place in the image, with compiled modules

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
from typing import TYPE_CHECKING

from mlfunc.errors import NotFound
from mlfunc.layers.tree import File, Range, Tree
from mlfunc.wheels import bytecode, elf, failures, pylock, requirements
from mlfunc.wheels.bytecode import Module
from mlfunc.wheels.resolve import Run, call, python_platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mlfunc.layers.tree import Entry
    from mlfunc.lock import Wheel
    from mlfunc.proc import Cancellation
    from mlfunc.wheels.requirements import Requirements

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
class Noted:
    """A file of an installed package: where it is in the copy, and its line in RECORD."""

    path: str
    digest: str  # sha256=...
    size: str


@dataclass(frozen=True)
class Distribution:
    """An installed package, by its normalised name; `info` is the path of its .dist-info."""

    name: str
    info: str
    files: tuple[Noted, ...]


def tree(
    wheels: Iterable[Wheel],
    place: Place,
    folder: Path,
    scratch: Path,
    environ: Mapping[str, str] = os.environ,
    cancellation: Cancellation | None = None,
) -> Tree:
    """Wheels of the project in `folder` as they are in the image, compiled; `scratch` must stay.

    Raises:
        NotFound: a wheel was a file here once, and is no more.
        EnvironmentFailed: an index does not answer, or has other bytes than those that were locked.
        UsageError: a package is for another architecture.
        Cancelled: it was broken off.

    """
    copy = scratch / "installed"
    stage(tuple(wheels), place, folder, copy, environ, cancellation)
    entries: dict[str, Entry] = {}
    modules: dict[str, Module] = {}
    for distribution in distributions(copy):
        elf.check(copy, (file.path for file in distribution.files), place.arch, distribution.name)
        # Two packages may have the same file, such as the __init__.py of a shared namespace.
        entries |= {entry.path: entry for entry in _entries(copy, distribution, place)}
        modules |= {module.at: module for module in _modules(copy, distribution, place)}
    compiled = bytecode.compile_all(modules.values(), place.python, cancellation)
    return Tree((*entries.values(), *compiled))


def stage(
    wheels: Iterable[Wheel],
    place: Place,
    folder: Path,
    copy: Path,
    environ: Mapping[str, str],
    cancellation: Cancellation | None = None,
) -> None:
    """Install wheels into a folder, each exactly as locked."""
    asked = requirements.read(folder, environ)
    lock = copy.with_name("pylock.toml")
    text = pylock.write(wheels, lambda wheel: _origin(wheel, asked, environ))
    lock.touch(mode=0o600)
    lock.write_text(text, encoding="utf-8")
    target = ["--python-version", place.python, "--python-platform", python_platform(place.arch)]
    exact = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    plain = ["--no-progress", "--color", "never", "--preview-features", "pylock"]
    into = ["--prefix", str(copy), "--python", sys.executable]
    argv = ["pip", "install", "--requirements", str(lock), *into, *target, *exact, *plain]
    ended = call(argv, Run(folder, {**environ, **asked.variables}, lambda _: None, cancellation))
    if ended.code != 0:
        raise failures.of_install(ended.tail)


def distributions(copy: Path) -> Iterator[Distribution]:
    """The packages in an installed copy."""
    for record in sorted(copy.glob("lib*/python3.*/site-packages/*.dist-info/RECORD")):
        info = record.parent.relative_to(copy)
        with record.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.reader(lines) if row]
        files = (Noted(os.path.normpath(info.parent / path), *rest) for path, *rest in rows)
        name = requirements.normalise(info.name.partition("-")[0])
        yield Distribution(name, info.as_posix(), tuple(sorted(files, key=lambda f: f.path)))


def _origin(wheel: Wheel, asked: Requirements, environ: Mapping[str, str]) -> str:
    """Where a wheel is fetched from. The lock has no password: the project may."""
    if wheel.url is not None:
        return requirements.with_user(wheel.url, asked.text, environ)
    file = requirements.locate(wheel, asked.folders)
    if file is None:
        hint = "put it into wheels/ of the project, or name its folder: UV_FIND_LINKS=FOLDER"
        raise NotFound(f"{wheel.file}, which mlfunc.lock names, is not on this machine", hint)
    return str(file)


def _entries(copy: Path, distribution: Distribution, place: Place) -> Iterator[Entry]:
    record = []
    for file in distribution.files:
        if not (_is_note(file.path, distribution.info) or _is_compiled(file.path)):
            entry = _entry(copy, file.path, place)
            record.append((os.path.relpath(entry.path, place.site), *_recorded(entry, file)))
            yield entry
    at = f"{_at(distribution.info, place)}/RECORD"
    yield File(at, (_csv([*record, (os.path.relpath(at, place.site), "", "")]),))


def _is_note(path: str, info: str) -> bool:
    return path.rpartition("/")[0] == info and path.rpartition("/")[2] in _NOTES


def _is_compiled(path: str) -> bool:
    """Whether its wheel brings a module compiled, as some do by mistake: ours is in its place."""
    return path.endswith(".pyc") and path.split("/")[-2:-1] == ["__pycache__"]


def _entry(copy: Path, path: str, place: Place) -> File:
    """A file of the copy, at its place."""
    source = copy / path
    facts = source.stat()
    executable = bool(facts.st_mode & 0o111)
    script = _script(source, place) if path.startswith("bin/") else None
    return File(_at(path, place), (script or Range(source, 0, facts.st_size),), executable)


def _at(path: str, place: Place) -> str:
    """Where a file of the copy is in the image. Some distributions of Python have a lib64."""
    return f"{place.prefix}/{_SITE.sub(f'lib/python{place.python}/site-packages', path)}"


def _script(source: Path, place: Place) -> bytes | None:
    """A script with the image's Python in its first line; None: it is no script of Python."""
    data = source.read_bytes()
    line = b"#!" + place.interpreter.encode()
    return _SHEBANG.sub(lambda _: line, data, count=1) if _SHEBANG.match(data) else None


def _recorded(entry: File, file: Noted) -> tuple[str, str]:
    """Digest and size for RECORD: of a script that was made anew, its own."""
    match entry.pieces:
        case (bytes(data),):
            return _digest(data), str(len(data))
        case _:
            return file.digest, file.size


def _digest(data: bytes) -> str:
    """As RECORD has it."""
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={encoded.decode().rstrip('=')}"


def _csv(rows: Iterable[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _modules(copy: Path, distribution: Distribution, place: Place) -> Iterator[Module]:
    for file in distribution.files:
        if file.path.endswith(".py") and _SITE.match(file.path):
            yield Module(copy / file.path, _at(file.path, place), _known(copy, file))


def _known(copy: Path, file: Noted) -> str:
    """What its bytes are known by: most wheels say it."""
    return file.digest or _digest((copy / file.path).read_bytes())
