"""Where a model is: its files on this machine, and what tells the function of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlfunc import paths
from mlfunc.models import local
from mlfunc.models.schemes import scheme

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.lock import ModelPin


def variable(name: str) -> str:
    """The variable that has a model's path."""
    return f"MLFUNC_MODEL_{_upper(name)}"


def stream_variable(name: str) -> str:
    """The variable that has the path of the list of what is fetched at the start."""
    return f"MLFUNC_STREAM_{_upper(name)}"


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def is_single(pin: ModelPin) -> bool:
    """Whether the address is that of one file: the function gets its path, not its folder's."""
    name = pin.uri.rstrip("/").rpartition("/")[2]
    return scheme(pin.uri) in {"", "s3"} and [file.path for file in pin.files] == [name]


def within(folder: str, pin: ModelPin) -> str:
    """What the function gets, where the model's files are in this folder."""
    return f"{folder}/{pin.files[0].path}" if is_single(pin) else folder


def root(pin: ModelPin, project: Path) -> Path:
    """What the paths of a local model's files are relative to."""
    return local.root(project / pin.uri)


def cached(pin: ModelPin) -> Path:
    """Where a remote model is on this machine, or will be."""
    said = "\n".join([pin.uri, *(f"{file.path} {file.sha256}" for file in pin.files)])
    return paths.cache() / "models" / hashlib.sha256(said.encode()).hexdigest()[:16]
