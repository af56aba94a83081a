"""Which files a streamed model has: the list that the build has put into the image."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from mlfunc_runtime.errors import SettingsError

PART = 16 * 2**20


class File(msgspec.Struct, frozen=True):
    """`path` in the model; `size` in bytes. `url`: where it lies, if the model's address does not
    say it.
    """

    path: str
    size: int
    sha256: str
    url: str | None = None


class Listing(msgspec.Struct, frozen=True):
    """A model, and the revision that its files are of."""

    uri: str
    files: list[File]
    revision: str | None = None


class Part(NamedTuple):
    """A range of a file, got with one request if nothing breaks."""

    start: int
    size: int


def read(path: Path) -> Listing:
    """The list at `path`.

    Raises:
        SettingsError: it is not there, or is no such list.

    """
    try:
        listing = msgspec.json.decode(path.read_bytes(), type=Listing)
    except (OSError, msgspec.DecodeError) as error:
        told = f"{path} lists no model's files: {error}"
        raise SettingsError(told, "`mlfunc build` writes it; build the image anew") from error
    for file in listing.files:
        if not _is_inside(file.path):
            raise SettingsError(f"{path}: {file.path!r} is no path inside of a model")
    return listing


def folder_of(listing: Listing, path: Path) -> Path:
    """The folder to fill, so that the model is at `path`: that is the file itself where the model
    is one file of that name.
    """
    single = len(listing.files) == 1 and path.name == listing.files[0].path
    return path.parent if single else path


def parts(file: File, size: int = PART) -> list[Part]:
    """The ranges of a file, in order."""
    edges = [*range(0, file.size, size), file.size]
    return [Part(start, end - start) for start, end in itertools.pairwise(edges)]


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts
