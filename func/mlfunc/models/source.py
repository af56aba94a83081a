"""What a place that keeps models has to offer: a list of files, and the bytes of each."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlfunc.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a model there; `size` in bytes, `sha256` where the place knows it."""

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Listing:
    """A model as it is there now: `revision` names exactly these files."""

    revision: str
    items: tuple[Item, ...]


class Source(Protocol):
    """A model somewhere else."""

    def listing(self) -> Listing:
        """What is there.

        Raises:
            NotFound: there is no such model.
            MlfuncError: the place refuses, or cannot be reached.

        """
        ...

    def read(self, revision: str, path: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from `offset` on.

        Raises:
            Broken: the connection ended early; what came before is good.
            MlfuncError: as of `listing`.

        """
        ...


class Broken(Exception):
    """A transfer ended before its end; it may go on where it was."""


def wanted(name: str, items: Sequence[Item], patterns: Sequence[str]) -> tuple[Item, ...]:
    """The files to take, in order: those that a pattern names, else all that are not hidden.

    Raises:
        NotFound: there is none.

    """
    chosen = [item for item in items if _is_wanted(item.path, patterns)]
    if not chosen:
        named = f"no file that is named by {', '.join(patterns)}" if patterns else "no files"
        there = ", ".join(item.path for item in items[:5]) or "nothing"
        raise NotFound(f"model {name} has {named}", f"there is {there}")
    check([item.path for item in chosen])
    return tuple(sorted(chosen, key=lambda item: item.path))


def check(paths: Iterable[str]) -> None:
    """Whether files of a model may be called so: they are to lie in its folder.

    Raises:
        UsageError: one may not.

    """
    for path in paths:
        if {"", ".", ".."} & {*path.split("/")} or "\\" in path or "\0" in path:
            raise UsageError(f"a model's file may not be called {path!r}", "leave it out")


def _is_wanted(path: str, patterns: Sequence[str]) -> bool:
    if patterns:
        names = (path, path.rpartition("/")[2])
        return any(fnmatch.fnmatchcase(name, each) for name in names for each in patterns)
    return not any(part.startswith(".") for part in path.split("/"))
