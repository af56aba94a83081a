"""Threads of numeric libraries come from the quota of the container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime import cpus

if TYPE_CHECKING:
    from pathlib import Path


def test_a_v2_quota_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cpus.available(tmp_path) == 0.5


def test_a_v1_quota_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("25000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus.available(tmp_path) == 0.25


@pytest.mark.parametrize("text", ["max 100000", "max", ""])
def test_without_a_quota_it_is_what_the_scheduler_gives(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpus.available(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("available", "slots", "threads"),
    [(0.5, 1, 1), (1, 1, 1), (2, 1, 1), (4, 1, 3), (8.5, 2, 3), (16, 4, 3), (2, 8, 1)],
)
def test_one_cpu_is_left_to_the_hub_and_slots_share_the_rest(
    available: float, slots: int, threads: int
) -> None:
    environ = {"MKL_NUM_THREADS": "7"}
    assert cpus.limit_threads(environ, available, slots) == threads
    assert (environ["OMP_NUM_THREADS"], environ["MKL_NUM_THREADS"]) == (str(threads), "7")
