"""Releases: what revisions are started from. Each is a folder, named by the digest of all in it.

    DIGEST/app/             the function's own files, as an image's app layer would have them
    DIGEST/models/NAME/     a model of files here, as they were: hard links (weights.py)
    DIGEST/release.json     its environment and its variables

It is renamed into place, and nothing writes to it later: whoever is at a revision's start finds it
whole, or not at all.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlfunc.environment import Environment
from mlfunc.errors import MlfuncError, NotFound
from mlfunc.function import FILE
from mlfunc.layers import tree
from mlfunc.supervisor import weights

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlfunc.layers.tree import Tree
    from mlfunc.supervisor.home import Home

_RECORD = "release.json"
_APP = "app"
_MODELS = "models"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"local/[^/@]+@sha256:([0-9a-f]{64})")
_UNFINISHED = ".unfinished-"
# One that is so young may be of a deployment that has not named it yet.
_YOUNG_SECONDS = 3600.0


class _Record(msgspec.Struct, frozen=True):
    environment: str
    env: dict[str, str] = {}
    models: dict[str, str] = {}  # variables, too: paths in its own folder of models
    size: int = 0


@dataclass(frozen=True)
class Release:
    """How an instance is started; `env` is all that its process has of this machine."""

    digest: str
    python: str
    folder: str
    env: Mapping[str, str]
    size: int = 0  # of its files, in bytes


def image(name: str, digest: str) -> str:
    """What a revision of it calls its image."""
    return f"local/{name}@sha256:{digest}"


def digest_of(image: str) -> str | None:
    """Of the release that a revision's image is; None: it is an image of a registry."""
    match = _IMAGE.fullmatch(image)
    return match[1] if match else None


def load(home: Home, digest: str, environ: Mapping[str, str] = os.environ) -> Release:
    """A release, with the variables of this process.

    Raises:
        NotFound: it is not there, or not as it was written.

    """
    hint = "deploy the function again: that makes it anew"
    folder = _folder(home, digest)
    record = _record(folder)
    if record is None:
        raise NotFound(f"there is no release {digest[:12]} in {home.releases}", hint)
    environment = Environment(Path(record.environment))
    app = folder / _APP
    models = {variable: str(folder / _MODELS / path) for variable, path in record.models.items()}
    own = {"MLFUNC_FUNCTION": str(app / FILE), **models, **record.env}
    env = {**environment.variables(environ), **own}
    return Release(digest, str(environment.python), str(app), env, record.size)


@dataclass(frozen=True)
class Recorded:
    """What a release has of what lies elsewhere."""

    digest: str
    environment: Path
    models: tuple[Path, ...]


def records(home: Home) -> list[Recorded]:
    """Of all releases that are there."""
    folders = home.releases.iterdir() if home.releases.is_dir() else ()
    found = ((path.name, _record(path)) for path in folders if _DIGEST.fullmatch(path.name))
    return [
        Recorded(digest, Path(record.environment), tuple(map(Path, record.env.values())))
        for digest, record in found
        if record is not None
    ]


def is_there(home: Home, digest: str) -> bool:
    """Whether it has been made; it is young again."""
    try:
        os.utime(_folder(home, digest))
    except OSError:
        return False
    return _record(_folder(home, digest)) is not None


@dataclass(frozen=True)
class Contents:
    """What a release is made of: `kept` are files of models by their paths, with their digests."""

    files: Tree
    environment: Environment
    env: Mapping[str, str]
    models: Mapping[str, str] = field(default_factory=dict)  # variables: paths of `kept`, or above
    kept: Mapping[str, str] = field(default_factory=dict)


def write(home: Home, digest: str, contents: Contents) -> None:
    """Make it, unless it is there.

    Raises:
        MlfuncError: a file changed meanwhile, or cannot be read; there is no room.

    """
    unfinished = home.releases / f"{_UNFINISHED}{secrets.token_hex(8)}"
    try:
        home.releases.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        _fill(unfinished, home, contents)
        _put(unfinished, _folder(home, digest))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"the release cannot be written to {home.releases}: {reason}"
        raise MlfuncError(message, "make room there, or name another place: MLFUNC_HOME") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def prune(home: Home, kept: Collection[str], folders: Collection[str] = ()) -> None:
    """Remove those that have none of these digests, and that no process runs in.

    `folders` are where processes run. What is young stays.
    """
    if not home.releases.is_dir():
        return
    for path in home.releases.iterdir():
        is_used = path.name in kept or str(path / _APP) in folders
        if not is_used and time.time() - path.stat().st_mtime > _YOUNG_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _fill(folder: Path, home: Home, contents: Contents) -> None:
    app = folder / _APP
    app.mkdir()
    tree.write(contents.files, app)
    for name, sha256 in contents.kept.items():
        _link(weights.place(home, sha256), folder / _MODELS / name)
    (folder / _RECORD).write_bytes(msgspec.json.encode(_recorded(contents)))
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            # Nobody else's to read, and what is a program stays one.
            path.chmod(path.stat().st_mode & 0o700)


def _recorded(contents: Contents) -> _Record:
    size = contents.files.size
    folder = str(contents.environment.folder)
    return _Record(folder, dict(contents.env), dict(contents.models), size)


def _link(kept: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(kept, path)


def _put(unfinished: Path, folder: Path) -> None:
    if _record(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)  # what a power cut has left
    try:
        unfinished.rename(folder)
    except OSError:
        if _record(folder) is None:  # else another command was first: it is the same
            raise


def _record(folder: Path) -> _Record | None:
    try:
        return msgspec.json.decode((folder / _RECORD).read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None


def _folder(home: Home, digest: str) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise NotFound(f"{digest!r} names no release", "deploy the function again")
    return home.releases / digest
