"""What processes take of memory: their own, and once what they share."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from mlfunc.supervisor.fleet import memory

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
HOLDS = """
import mmap, os, sys
kind, size = sys.argv[1], int(sys.argv[2])
if kind == "anonymous":
    held = b"x" * size
if kind == "file":
    with open(sys.argv[3], "w+b") as file:
        file.write(b"x" * size)
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sum(held[::4096])
if kind == "shared":
    held = mmap.mmap(-1, size)
    held.write(b"x" * size)
forks = int(sys.argv[4])
for _ in range(forks):
    if os.fork() == 0:
        if kind == "shared":
            sum(held[::4096])
        os.write(1, b"+")
        os.read(0, 1)
        os._exit(0)
os.write(1, b"+")
os.read(0, 1)
"""


def measured(
    kind: str, size: int, path: object, forks: int, measure: Callable[[int], int] = memory.used
) -> int:
    """Of a process that holds so much, and has so many children."""
    argv = [sys.executable, "-c", HOLDS, kind, str(size), str(path), str(forks)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(forks + 1)) == forks + 1
        found = measure(process.pid)
        process.communicate(b"." * (forks + 1))
    return found


def test_memory_that_the_kernel_cannot_take_back_counts_and_files_do_not(tmp_path: object) -> None:
    path = f"{tmp_path}/weights"
    empty = measured("anonymous", 1, path, 0)

    assert measured("anonymous", 40 * MIB, path, 0) - empty > 38 * MIB
    assert measured("shared", 40 * MIB, path, 0) - empty > 38 * MIB
    assert measured("file", 40 * MIB, path, 0) - empty < 4 * MIB


def test_what_children_take_counts_and_what_all_share_counts_once(tmp_path: object) -> None:
    path = f"{tmp_path}/weights"

    assert 38 * MIB < measured("anonymous", 40 * MIB, path, 3) < 80 * MIB
    assert 38 * MIB < measured("shared", 40 * MIB, path, 3) < 80 * MIB


def test_one_that_has_ended_takes_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert memory.used(process.pid) == 0
    assert memory.family(os.getpid())[0] == os.getpid()
