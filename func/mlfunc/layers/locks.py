"""Locks between programs and threads, and folders that go when their maker is gone.

The kernel lets go of a lock when its holder ends, however it ends: a file that nobody has locked
was left by a program that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from typing import TYPE_CHECKING, BinaryIO

from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOOK_SECONDS = 0.05
_LOCK = ".lock"


@contextlib.contextmanager
def locked(
    path: Path,
    waits: Callable[[], None] = lambda: None,
    cancellation: Cancellation | None = None,
) -> Iterator[None]:
    """Hold a lock that one at a time has; `waits` is called each time that another has it.

    Raises:
        Cancelled: it was broken off while waiting.

    """
    stop = cancellation or Cancellation()
    path.parent.mkdir(parents=True, exist_ok=True)
    while (file := lock_alone(path)) is None:
        waits()
        stop.check(wait=_LOOK_SECONDS)
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked_briefly(path: Path) -> Iterator[None]:
    """Hold a lock for what takes no time: others stand still until it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(top: Path) -> Iterator[Path]:
    """An empty folder below `top` until the block ends; those of programs that died go first."""
    top.mkdir(parents=True, exist_ok=True)
    sweep(top)
    folder = top / secrets.token_hex(8)
    # Locked before the folder is there: no sweep finds it without.
    with locked(folder.with_suffix(_LOCK)):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def lock_shared(path: Path) -> BinaryIO | None:
    """The file, which others may lock so too until it is closed; None: it is not there, or goes."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    return _checked(file, path, fcntl.LOCK_SH)


def lock_alone(path: Path) -> BinaryIO | None:
    """The file, made if need be, locked until it is closed; None: another has it."""
    return _checked(path.open("ab"), path, fcntl.LOCK_EX)


def left(top: Path) -> list[Path]:
    """Those that `sweep` would remove."""
    return [path.with_suffix("") for path in top.glob(f"*{_LOCK}") if _is_left(path)]


def _checked(file: BinaryIO, path: Path, how: int) -> BinaryIO | None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
        # Its last holder may have removed it: this lock would be one on nothing.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def sweep(top: Path) -> None:
    """Remove the folders below `top` that no program works in any more."""
    for path in top.glob(f"*{_LOCK}"):
        if (file := lock_alone(path)) is not None:
            with file:
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    file = lock_alone(path)
    if file is not None:
        file.close()
    return file is not None
