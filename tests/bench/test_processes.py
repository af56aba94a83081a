from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lib import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[[str], int]

# A parent whose grandchild loses its parent: the session is what is left of the family.
FAMILY = """
import subprocess, sys, time
inner = "import time; print('up', flush=True); time.sleep(60)"
outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {inner!r}])"
subprocess.run([sys.executable, "-c", outer])
time.sleep(60)
"""
BUSY = """
import time
memory = b"x" * 50_000_000
while time.process_time() < 0.5: pass
print("done", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a script in a session of its own, and waits for the first line it prints."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> int:
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        return child.pid

    yield start
    for child in started:
        os.killpg(child.pid, 9)
        child.communicate()


def test_a_line_of_stat_is_read_whatever_the_command_is_called() -> None:
    fields = ["S", "7", "12", "12", *["0"] * 7, "150", "50", "20", "5", *["0"] * 30]
    line = f"12 (a) b (c)) {' '.join(fields)}"

    ticks = os.sysconf("SC_CLK_TCK")
    assert processes.parse(line) == processes.Stat(12, 7, 12, 225 / ticks)


def test_the_tree_has_descendants_and_those_whose_parent_is_gone(start: Start) -> None:
    pid = start(FAMILY)

    parents = {stat.pid: stat.parent for stat in processes.tree(pid)}

    assert len(parents) == 2
    assert parents.pop(pid) == os.getpid()
    assert pid not in parents.values()


def test_cpu_and_memory_are_those_of_the_process(start: Start) -> None:
    pid = start(BUSY)

    assert 0.4 < processes.cpu(pid) < 1.5
    assert 50e6 < processes.memory(pid) < 100e6
    assert 50e6 < processes.memory(pid, "Pss") <= processes.memory(pid)


def test_sleeping_costs_no_cpu(start: Start) -> None:
    pid = start(BUSY)
    before = processes.cpu(pid)

    time.sleep(0.3)

    assert processes.cpu(pid) - before <= 0.05


def test_the_cpu_of_what_is_started_here_is_not_others(start: Start) -> None:
    clock = processes.Clock.now()

    start(BUSY)

    spent = processes.Clock.now()
    assert spent.own - clock.own > 0.4
    assert spent.machine - clock.machine > 0.4
    assert clock.others() <= (os.cpu_count() or 1)


def test_the_cpu_of_a_process_that_is_not_ours_is_others() -> None:
    script = "import time\nwhile time.process_time() < 0.7: pass"
    clock = processes.Clock.now()

    # Its parent is gone, its session is not ours.
    outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {script!r}])"
    subprocess.run(
        [sys.executable, "-c", outer], check=True, start_new_session=True, capture_output=True
    )

    now = processes.Clock.now()
    assert (now.machine - clock.machine) - (now.own - clock.own) > 0.5
    assert clock.others() > 0


def test_an_orphan_is_adopted_and_its_cpu_counts_when_it_has_ended() -> None:
    script = """
import os, subprocess, sys
from lib import processes
processes.adopt_orphans()
busy = "import time\\nwhile time.process_time() < 0.5: pass\\nprint(1, flush=True); time.sleep(60)"
inner = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
with subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    child.wait()
    [orphan] = [stat for stat in processes.tree(os.getpid()) if stat.pid != os.getpid()]
    assert orphan.parent == os.getpid(), orphan
    processes.kill([orphan.pid])
print(processes.cpu(os.getpid()))
"""
    path = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[1])}

    said = subprocess.run([sys.executable, "-c", script], env=path, capture_output=True, check=True)

    assert float(said.stdout) > 0.4


def test_what_is_started_in_the_block_stays_on_its_core() -> None:
    here = os.sched_getaffinity(0)
    core = min(here)
    script = "import os; print(os.sched_getaffinity(0))"

    with processes.pinned({core}):
        said = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)

    assert said.stdout.decode().strip() == str({core})
    assert os.sched_getaffinity(0) == here
