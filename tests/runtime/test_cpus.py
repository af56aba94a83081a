"""Threads of numeric libraries come from the quota of the container."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import cpus

if TYPE_CHECKING:
    from pathlib import Path

CORES = len(os.sched_getaffinity(0))


def available(tmp_path: Path, membership: str, quotas: dict[str, str]) -> float:
    """As on a machine that has these files below /sys/fs/cgroup."""
    root = tmp_path / "cgroup"
    for name, text in quotas.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    own = tmp_path / "own"
    own.write_text(membership)
    return cpus.available(None, str(root), str(own))


V2 = "0::/kubepods/pod7/main\n"
V1 = "12:memory:/kubepods/pod7\n4:cpu,cpuacct:/kubepods/pod7\n1:name=systemd:/x\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "quotas", "expected"),
    [
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        (V2, {"kubepods/pod7/main/cpu.max": "50000 100000"}, 0.5),
        (V2, {"kubepods/cpu.max": "25000 100000", "kubepods/pod7/cpu.max": "90000 100000"}, 0.25),
        (V2, {"cpu.max": "10000 100000", "kubepods/pod7/main/cpu.max": "max 100000"}, 0.1),
        (V2, {"kubepods/other/cpu.max": "10000 100000"}, CORES),
        ("0::/../../pod7\n", {"pod7/cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {"cpu.max": "9900000 100000"}, CORES),
        ("0::/\n", {"cpu.max": "max 100000"}, CORES),
        ("0::/\n", {"cpu.max": "max"}, CORES),
        ("0::/\n", {"cpu.max": ""}, CORES),
        ("0::/\n", {}, CORES),
        ("", {"cpu.max": "50000 100000"}, CORES),
    ],
)
def test_a_v2_quota_is_the_smallest_from_our_cgroup_up_to_the_root(
    tmp_path: Path, membership: str, quotas: dict[str, str], expected: float
) -> None:
    assert available(tmp_path, membership, quotas) == expected


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("place", ["", "kubepods/", "kubepods/pod7/"])
@pytest.mark.parametrize(("quota", "expected"), [("25000", 0.25), ("-1", CORES), ("", CORES)])
def test_a_v1_quota_is_found_in_our_cgroup_and_above(
    tmp_path: Path, mount: str, place: str, quota: str, expected: float
) -> None:
    folder = f"{mount}/{place}"
    files = {f"{folder}cpu.cfs_quota_us": quota, f"{folder}cpu.cfs_period_us": "100000"}
    assert available(tmp_path, V1, files) == expected


@pytest.mark.parametrize(("told", "expected"), [(0.5, 0.5), (1e6, CORES), (None, CORES)])
def test_what_it_is_told_counts_where_it_is_less_than_what_is_there(
    told: float | None, expected: float, tmp_path: Path
) -> None:
    assert cpus.available(told, str(tmp_path), str(tmp_path / "none")) == expected


def test_a_quota_of_another_controller_is_not_ours(tmp_path: Path) -> None:
    files = {"memory/kubepods/pod7/cpu.max": "10000 100000"}
    assert available(tmp_path, V1, files) == CORES


def test_a_cpuset_counts_as_the_scheduler_tells_it() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from mlfunc_runtime import cpus; print(cpus.available())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(told.stdout) <= 1


@given(st.text(st.characters(codec="ascii", exclude_characters="\n\r")), st.text())
def test_odd_paths_and_odd_quotas_end_in_numbers_of_cpus(path: str, quota: str) -> None:
    assert all(place == "" or place.startswith("/") for place in cpus._upwards(path))
    assert all(number > 0 for number in cpus._quota(quota.split()))


@pytest.mark.parametrize(
    ("available", "slots", "threads"),
    [(0.5, 1, 1), (1, 1, 1), (1.9, 1, 1), (2, 1, 1), (4, 1, 3), (8.5, 2, 3), (16, 4, 3), (2, 8, 1)],
)
def test_one_cpu_is_left_to_the_hub_and_slots_share_the_rest(
    available: float, slots: int, threads: int
) -> None:
    environ = {"MKL_NUM_THREADS": "7"}
    assert cpus.limit_threads(environ, available, slots) == threads
    assert (environ["OMP_NUM_THREADS"], environ["MKL_NUM_THREADS"]) == (str(threads), "7")


def test_libraries_that_go_by_the_users_openmp_count_are_left_to_it() -> None:
    environ = {"OMP_NUM_THREADS": "6"}
    cpus.limit_threads(environ, 2, 1)
    assert environ == {
        "OMP_NUM_THREADS": "6",
        "NUMEXPR_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
