"""A group of processes is there until the last of them has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from mlfunc.supervisor.fleet import group

# The first ends, and leaves a child that is dead but not waited for, and one that runs.
LEAVES = """
import os, time
for seconds in (0, 1000):
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
"""


def test_what_is_left_of_a_group_is_waited_for() -> None:
    async def watched() -> list[str]:
        told: list[str] = []
        gone = asyncio.Event()
        first = subprocess.Popen([sys.executable, "-c", LEAVES], process_group=0)
        first.wait()
        loop = asyncio.get_running_loop()
        group.tell_gone(first.pid, loop, gone.set)
        told.append("gone" if gone.is_set() else "there")
        os.killpg(first.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            await gone.wait()
        group.tell_gone(first.pid, loop, lambda: told.append("gone"))
        return told

    assert asyncio.run(watched()) == ["there", "gone"]


def test_a_group_that_is_no_more_is_gone_at_once() -> None:
    async def watched() -> bool:
        with subprocess.Popen([sys.executable, "-c", ""], process_group=0) as process:
            process.wait()
        told: list[bool] = []
        group.tell_gone(process.pid, asyncio.get_running_loop(), lambda: told.append(True))
        return told == [True]

    assert asyncio.run(watched())
