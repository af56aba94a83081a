"""Whole commands, and what each took."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Run:
    """One command, with those that it started: seconds, CPU seconds, peak RSS of the largest of
    them, bytes read; and what it printed.
    """

    wall: float
    cpu: float
    rss: int
    read: int
    said: str

    @property
    def image(self) -> dict[str, Any]:
        """What `mlfunc build -o json` ends with."""
        found: dict[str, Any] = json.loads(self.said)
        return found


def run(argv: Sequence[str], folder: Path, **env: str) -> Run:
    """Run to the end, and ask the kernel what it took."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.monotonic()
        process = subprocess.Popen(argv, cwd=folder, env={**os.environ, **env}, stdout=out)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - began
        counters = Path(f"/proc/{process.pid}/io").read_text()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
    read = int(counters.split("rchar:")[1].split()[0])
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, read, said)
