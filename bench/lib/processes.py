"""What the kernel says of a process and all it started: CPU, memory, number. proc(5)."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = Path("/proc")
_SET_CHILD_SUBREAPER = 36
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


@dataclass(frozen=True)
class Clock:
    """CPU seconds so far: of the whole machine, and of this process with all it has started."""

    machine: float
    own: float
    wall: float

    @staticmethod
    def now() -> Clock:
        """Read it. User, nice, system, interrupts and what the hypervisor took count as busy."""
        _, user, nice, system, _, _, *interrupts = (_PROC / "stat").read_text().split()[:9]
        ticks = sum(map(int, (user, nice, system, *interrupts)))
        return Clock(ticks / _TICK, cpu(os.getpid()), time.perf_counter())

    def others(self) -> float:
        """The cores that others have used since then, on average."""
        now = Clock.now()
        used = (now.machine - self.machine) - (now.own - self.own)
        return max(0.0, used / (now.wall - self.wall))


def adopt_orphans() -> None:
    """What descends from this process becomes its child when its parent is gone (prctl(2)), so that
    its CPU is added to this one's when it has ended.
    """
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill(pids: Iterable[int]) -> None:
    """End these processes, and wait for those that are children, adopted ones among them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


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
