"""How much memory an instance takes, and whether that is more than it may have.

Counted is what a cgroup of a cluster would have to keep: anonymous and shared memory of the process
and of all that it has started. Weights that are mapped from files are not: the kernel can take
those pages back. A look takes 40 us of an instance of two threads, 400 us of one of two processes
and 45 threads.
"""

from __future__ import annotations

import asyncio
import os

_PERIOD = 1.0
# proc_pid_status(5), proc_pid_smaps(5). Nodes of a cluster do not swap.
_RESIDENT = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_PROPORTIONAL = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


async def exceeded(pid: int, limit: float) -> int:
    """Until it takes more than that; so many bytes it took."""
    while True:
        await asyncio.sleep(_PERIOD)
        if (taken := used(pid, limit)) > limit:
            return taken


def used(pid: int, limit: float = 0) -> int:
    """Bytes of a process and of all that it has started.

    What several share counts once where that decides: the kernel walks all their pages for it.
    """
    pids = family(pid)
    resident = sum(_counted(f"/proc/{each}/status", _RESIDENT) for each in pids)
    if resident <= limit or len(pids) == 1:
        return resident
    return sum(_counted(f"/proc/{each}/smaps_rollup", _PROPORTIONAL) for each in pids)


def family(pid: int) -> list[int]:
    """A process, its children, theirs, and so on."""
    found = [pid]
    for each in found:  # which grows meanwhile
        for task in _tasks(each):
            found += map(int, _read(f"/proc/{each}/task/{task}/children").split())
    return found


def _tasks(pid: int) -> list[str]:
    """Of a process that has ended, none: each may, at any time."""
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as below
    except OSError:
        return []


def _counted(path: str, names: tuple[bytes, ...]) -> int:
    lines = (line.split() for line in _read(path).splitlines() if line.startswith(names))
    return 1024 * sum(int(line[1]) for line in lines)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - once a second, many times
            return file.read()
    except OSError:
        return b""
