"""What a process has started, in its group: whether any of it still runs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

# Dead: what it had is free, whoever waits for it.
_DEAD = (b"Z", b"X")


def tell_gone(group: int, loop: AbstractEventLoop, tell: Callable[[], None]) -> None:
    """Have this called once nothing of a group that was killed runs: at once, as a rule.

    Until then its accelerators and its memory are nobody else's.
    """
    handle = _one_of(group)
    if handle is None:
        tell()
        return

    def one_less() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        tell_gone(group, loop, tell)

    loop.add_reader(handle, one_less)


def _one_of(group: int) -> int | None:
    """A descriptor that tells of its end."""
    try:
        os.killpg(group, 0)
    except OSError:  # none is left, or another user's has got the number
        return None
    for pid in _running(group):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            return os.pidfd_open(pid)
    return None


def _running(group: int) -> list[int]:
    """By proc_pid_stat(5): state, parent and group come after the name, which is in brackets."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            after_name = path.read_bytes().rpartition(b")")[2]
            state, _, its, *_ = after_name.split()
            if int(its) == group and state not in _DEAD:
                found.append(int(path.parent.name))
    return found
