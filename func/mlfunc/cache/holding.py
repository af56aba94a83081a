"""What programs use now of the cache: a lock beside each thing, which the kernel drops with them.

    hold     until this program ends; while the thing is being removed, that is waited for
    alone    for its removal: nobody holds it, and who wants to waits

The lock's file is what tells when a thing was used last, and what people call it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from mlfunc.layers import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".used"
_held: dict[Path, BinaryIO] = {}
_one_at_a_time = threading.Lock()


def hold(thing: Path, called: str = "") -> None:
    """Use a thing from now until this program ends: before it is looked at whether it is there."""
    path = mark(thing)
    with _one_at_a_time:
        if path not in _held:
            _held[path] = _shared(path)
    if called and not path.stat().st_size:
        path.write_text(called, encoding="utf-8")
    os.utime(path)


def let_go() -> None:
    """Hold nothing any more, as if this program had ended."""
    with _one_at_a_time:
        while _held:
            _held.popitem()[1].close()


@contextlib.contextmanager
def alone(thing: Path) -> Iterator[bool]:
    """Whether nobody uses a thing, which stays so until the block ends; its mark goes with it."""
    path = mark(thing)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = locks.lock_alone(path)
    if file is None:
        yield False
        return
    with file:
        yield True
        if not thing.exists():
            path.unlink()


def is_held(thing: Path) -> bool:
    """Whether somebody uses it at this moment."""
    if not mark(thing).exists():
        return False
    with alone(thing) as nobody:
        return not nobody


def last(thing: Path) -> float:
    """When it was used, in seconds since 1970; of what was never held: when it was made."""
    path = mark(thing)
    return (path if path.exists() else thing).stat().st_mtime


def name(thing: Path) -> str:
    """What it was called by who used it."""
    path = mark(thing)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def mark(thing: Path) -> Path:
    """The file of its lock."""
    return thing.with_name(thing.name + SUFFIX)


def _shared(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
        # Who removed the thing meanwhile has removed the mark: that lock would be one on nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
