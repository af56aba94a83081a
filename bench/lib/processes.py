"""What the kernel says of a process and all it started: CPU, memory, number. proc(5)."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """A line of /proc/PID/stat. CPU in seconds, with that of children it waited for."""

    pid: int
    parent: int
    session: int
    cpu: float


def parse(line: str) -> Stat:
    """Read such a line; a command's name may hold blanks and parentheses."""
    pid, _, rest = line.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Stat(int(pid), int(fields[1]), int(fields[3]), ticks / _TICK)


def tree(root: int) -> list[Stat]:
    """`root`, what descends from it, and what is in its session though its parent is gone."""
    every = list(_every())
    found = {root}
    while more := {s.pid for s in every if s.parent in found or s.session == root} - found:
        found |= more
    return [stat for stat in every if stat.pid in found]


def cpu(root: int) -> float:
    """CPU seconds of the tree, user and system, so far."""
    return sum(stat.cpu for stat in tree(root))


def memory(root: int, kind: str = "Rss") -> int:
    """Bytes of the tree in RAM. `Pss` counts what processes share once."""
    return sum(_memory_of(stat.pid, kind) for stat in tree(root))


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """What is started in here, and this process meanwhile, runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _every() -> Iterator[Stat]:
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                yield parse((entry / "stat").read_text(encoding="utf-8", errors="replace"))


def _memory_of(pid: int, kind: str) -> int:
    with suppress(OSError):  # it ended meanwhile
        for line in (_PROC / str(pid) / "smaps_rollup").read_text("ascii").splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) * 1024
    return 0
