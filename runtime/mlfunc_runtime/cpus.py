"""How many threads numeric libraries may use: from the CPU quota of this container, not from the
host's cores.

PyTorch, OpenMP and tokenizers ask how many cores the host has. Under a quota the surplus threads
wait for each other at spinning barriers and the kernel throttles them all; on two shared cores, two
threads ran MiniLM four times slower than one.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def available(root: Path = Path("/sys/fs/cgroup")) -> float:
    """CPUs this process may use: its affinity or its cgroup's quota, if that is smaller."""
    cores = float(len(os.sched_getaffinity(0)))
    return min([cores, *_quota_v2(root), *_quota_v1(root)])


def limit_threads(environ: MutableMapping[str, str], cpus: float, slots: int) -> int:
    """Set the thread counts that are not set yet, and return the count.

    One CPU is left to the hub where there are two.
    """
    share = max(1.0, math.floor(cpus) - 1) / slots
    threads = max(1, int(share))
    for variable in _VARIABLES:
        environ.setdefault(variable, str(threads))
    environ.setdefault("TOKENIZERS_PARALLELISM", "true" if threads > 1 else "false")
    return threads


def _quota_v2(root: Path) -> list[float]:
    quota, period = [*_words(root / "cpu.max"), "max", "max"][:2]
    return [] if "max" in (quota, period) else [int(quota) / int(period)]


def _quota_v1(root: Path) -> list[float]:
    quota = _words(root / "cpu" / "cpu.cfs_quota_us")
    period = _words(root / "cpu" / "cpu.cfs_period_us")
    if not (quota and period) or int(quota[0]) <= 0:
        return []
    return [int(quota[0]) / int(period[0])]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
