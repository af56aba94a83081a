"""How much of the disk files take."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

T = TypeVar("T")
Inode = tuple[int, int]
_BLOCK = 512  # of st_blocks, whatever the file system's are


def folders(top: Path) -> list[Path]:
    """Those right below one, in order; none where it is not there."""
    return sorted(path for path in top.iterdir() if path.is_dir()) if top.is_dir() else []


def each(paths: Iterable[Path], look: Callable[[Path], T]) -> list[T]:
    """What is seen at each path that is still there when it is looked at."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.append(look(path))
    return found


def inode(path: Path) -> Inode:
    """What is the same for all names of a file."""
    return _inode(path.stat())


def links(path: Path) -> int:
    """How many names a file has."""
    return path.stat().st_nlink


def size(path: Path) -> int:
    """Of one file, in bytes."""
    return size_of(path.stat())


def size_of(facts: os.stat_result) -> int:
    """The same of one that was looked at."""
    return facts.st_blocks * _BLOCK


def whole(folder: Path) -> int:
    """Of all files in a folder, in bytes; each is counted once."""
    return sum({_inode(facts): size_of(facts) for facts in _files(folder)}.values())


def own(folder: Path) -> int:
    """Of a folder, in bytes, without files that have names elsewhere: those stay when it goes."""
    found = list(_files(folder))
    names = Counter(map(_inode, found))
    own = {
        _inode(facts): size_of(facts) for facts in found if facts.st_nlink == names[_inode(facts)]
    }
    return sum(own.values())


def _inode(facts: os.stat_result) -> Inode:
    return facts.st_dev, facts.st_ino


def _files(folder: Path | str) -> Iterator[os.stat_result]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:  # somebody removes it
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            yield entry.stat(follow_symlinks=False)
