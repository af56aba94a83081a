"""What an instance may use: memory, beyond which it is killed, and CPUs, by which threads count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place

# Bytes that are not zero, so that each page is there.
GREEDY = """
import time

class Greedy:
    example = {"n": 1}

    def load(self):
        self.held = []
        while True:
            self.held.append(b"x" * 2**24)
            time.sleep(0.1)

    def predict(self, n: int) -> int:
        return n
"""
THREADS = """
import os

class Threads:
    def predict(self) -> str:
        return os.environ["OMP_NUM_THREADS"]
"""


def test_who_needs_more_memory_than_it_may_have_is_killed_and_told_so(
    place: Place, tmp_path: Path
) -> None:
    project = place.project(
        tmp_path / "greedy", GREEDY, resources={"cpu": "50m", "memory": "200Mi"}
    )

    failed = place.mlfunc("deploy", "--path", project, code=7)

    words = "it was killed while loading: it needs more memory than its limit of 200Mi"
    assert f"greedy-00001: {words}" in failed.err
    assert "raise `resources.memory`" in failed.err
    # Once what ended is what the pod shows last.
    eventually(
        lambda: f"failed: {words}" in place.mlfunc("describe", "--path", project).out,
        "describe tells it",
    )


def test_numeric_libraries_use_no_more_threads_than_it_has_cpus(
    place: Place, tmp_path: Path
) -> None:
    project = place.project(tmp_path / "threads", THREADS, resources={"cpu": "50m"})

    place.mlfunc("deploy", "--path", project)

    assert json.loads(place.request("threads", {}).data) == "1"
