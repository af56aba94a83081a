"""The clock of a cold start: seconds of each phase, from exec to ready."""

from __future__ import annotations

import os
import time


class Startup:
    """Made at the first line of Python: what came before is `spawn`.

    Each phase ends where the next begins.
    """

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {"spawn": round(process_age(), 4)}

    def done(self, phase: str) -> None:
        """`phase` ends now."""
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._last, 4)
        self._last = now

    def finish(self) -> float:
        """The start is over: add and return the total."""
        self.seconds["total"] = round(sum(self.seconds.values()), 4)
        return self.seconds["total"]


def process_age() -> float:
    """Seconds since this process was forked; the kernel counts in ticks of 10 ms (proc(5), field
    starttime).
    """
    with open("/proc/self/stat", encoding="ascii") as stat:  # noqa: PTH123 - pathlib is 10 ms of every cold start
        fields = stat.read().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
