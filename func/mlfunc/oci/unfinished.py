"""Files that are written beside their place and moved there when they are whole.

What killed programs left of theirs goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def file(target: Path, others: str) -> Iterator[IO[bytes]]:
    """A file that becomes `target` where the block ends well, and is gone where it does not.

    `others`: unfinished files of this name are removed first, `*` those of all names in the folder,
    if nobody writes them any more.
    """
    path = target.with_name(f".{target.name}.{os.getpid()}")
    with contextlib.ExitStack() as stack:
        # Nobody finds our file between its making and its lock.
        with locked(target.parent):
            _sweep(target.parent, others)
            opened = stack.enter_context(path.open("wb"))
            fcntl.flock(opened, fcntl.LOCK_EX)
        stack.callback(path.unlink, missing_ok=True)
        yield opened
        opened.flush()
        path.replace(target)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One program at a time has a folder to itself."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path, name: str) -> None:
    pattern = name if name == "*" else glob.escape(name)
    for path in folder.glob(f".{pattern}.[0-9]*"):
        with path.open("rb") as left, contextlib.suppress(BlockingIOError):
            # A lock ends with its program, however that ended.
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
