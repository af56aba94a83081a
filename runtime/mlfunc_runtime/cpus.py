"""How many threads numeric libraries may use: from the CPU quota of this container, not from the
host's cores.

PyTorch, OpenMP and tokenizers ask how many cores the host has. Under a quota the surplus threads
wait for each other at spinning barriers and the kernel throttles them all; on two shared cores, two
threads ran MiniLM four times slower than one.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

_OMP = "OMP_NUM_THREADS"
# These go by OMP_NUM_THREADS themselves, and PyTorch takes the least of it and MKL's.
_OMP_FOLLOWERS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")
_OTHERS = ("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
_V2 = "0::"


def available(
    told: float | None = None, root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup"
) -> float:
    """CPUs this process may use: its affinity, which is its cpuset's, or the smallest quota of its
    cgroup and all above it (cgroups(7)), or what it was `told` where nothing keeps it to that.
    """
    cores = float(len(os.sched_getaffinity(0)))
    folders = list(_folders(root, _lines(own)))
    return min([cores, *_quotas(folders), told or cores])


def limit_threads(environ: MutableMapping[str, str], cpus: float, slots: int) -> int:
    """Set the thread counts that are not set yet, and return the count.

    One CPU is left to the hub where there are two.
    """
    share = max(1.0, math.floor(cpus) - 1) / slots
    threads = max(1, int(share))
    for variable in _OTHERS if _OMP in environ else (_OMP, *_OMP_FOLLOWERS, *_OTHERS):
        environ.setdefault(variable, str(threads))
    environ.setdefault("TOKENIZERS_PARALLELISM", "true" if threads > 1 else "false")
    return threads


def _folders(root: str, memberships: Iterable[str]) -> Iterator[str]:
    """Every folder where a quota of this process can stand, of both versions.

    The path is the host's where the container has no cgroup namespace; then the mount is the
    container's own, and what is found is its root.
    """
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if line.startswith(_V2):
            mounts = [root, f"{root}/unified"]
        elif "cpu" in controllers.split(","):
            mounts = [f"{root}/{controllers}", f"{root}/cpu"]
        else:
            continue
        for mount in mounts:
            yield from (mount + place for place in _upwards(path))


def _upwards(path: str) -> Iterator[str]:
    """`/a/b` -> `/a/b`, `/a` and the root. `..` leads out of our namespace, unseen."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield "".join(f"/{part}" for part in parts[:length])


def _quotas(folders: Iterable[str]) -> Iterator[float]:
    for folder in folders:
        yield from _quota(" ".join(_lines(f"{folder}/cpu.max")).split())
        quota, period = (_lines(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        yield from _quota([*quota, *period])


def _quota(words: list[str]) -> Iterator[float]:
    """`50000 100000` -> 0.5; nothing where there is no limit: `max 100000`, `-1 100000`."""
    match words:
        case [quota, period] if (
            quota.isdecimal() and period.isdecimal() and int(quota) and int(period)
        ):
            yield int(quota) / int(period)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib is 10 ms of every cold start
            return file.read().splitlines()
    except OSError:
        return []
