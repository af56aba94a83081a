"""mlfunc.lock: what a build has settled on, so that the next one, anywhere, builds the same.

It is written by `mlfunc build` and meant to be committed. It holds no credentials, no path of a
machine, and no address that only one machine can reach.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mlfunc.errors import MlfuncError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "mlfunc.lock"


class Wheel(Struct, frozen=True, omit_defaults=True):
    """One package, as exactly one file: `file` is the wheel's name, `size` in bytes.

    Its licence as SPDX has it, else what it calls its licences.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int | None = None
    url: str | None = None  # where it was found, without credentials; None: a folder here
    license: str | None = None
    license_names: list[str] = []


class Resolution(Struct, frozen=True):
    """The packages for one target; `asked`: the digest of everything they were resolved from."""

    asked: str
    packages: list[Wheel] = []


class ModelFile(Struct, frozen=True):
    """One file of a model; `size` in bytes."""

    path: str
    size: int
    sha256: str


class ModelPin(Struct, frozen=True, omit_defaults=True):
    """A model: the revision that its address stood for (None: files here), and its files."""

    uri: str
    revision: str | None = None
    files: list[ModelFile] = []
    patterns: list[str] = []  # of `files:` in mlfunc.yaml
    partable: list[str] = []  # files that their loader also takes in parts, with an index
    at: str | None = None  # of oci://: the model's folder in its image; files are its layers

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)


class BasePin(Struct, frozen=True):
    """A base image: its manifest for one platform, and the Python in it."""

    image: str
    digest: str
    python: str  # the path of its interpreter


class Lock(Struct, frozen=True, omit_defaults=True):
    """All that is settled: bases by platform, packages by target, models by name."""

    version: int = 1
    bases: dict[str, BasePin] = {}
    python: dict[str, Resolution] = {}
    models: dict[str, ModelPin] = {}


def load(folder: Path) -> Lock:
    """What was settled before; an empty lock where nothing was.

    Raises:
        UsageError: the file is broken, or a later mlfunc wrote it.

    """
    path = folder / FILE
    if not path.is_file():
        return Lock()
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is broken: {error}", f"remove {FILE}: build writes it") from error
    if lock.version != Lock().version:
        message = f"{path} has version {lock.version}, and this mlfunc knows {Lock().version}"
        raise UsageError(message, "update mlfunc: pip install --upgrade mlfunc")
    return lock


def save(folder: Path, lock: Lock) -> None:
    """Write it, whole or not at all; untouched where it says the same.

    Raises:
        MlfuncError: the folder cannot be written to.

    """
    data = msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n"
    path = folder / FILE
    if path.is_file() and path.read_bytes() == data:
        return
    # Two builds of one project may be here at once: each has its own.
    unfinished = path.with_suffix(f".lock.unfinished{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it is not there, or nothing here can be removed
            unfinished.unlink()
        message = f"{path} cannot be written: {error.strerror}"
        hint = f"make the folder writable, or build once where it is and commit {FILE}"
        raise MlfuncError(message, hint) from error
