"""Locks: one at a time, gone with their holder; scratch folders: gone with their maker."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.layers import locks
from mlfunc.proc import Cancellation, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from mlfunc.layers import locks
with {what}:
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a program that holds something until it is killed."""
    running = []

    def start(what: str) -> subprocess.Popen[bytes]:
        code = HOLDER.format(what=what.replace("FOLDER", f"Path({str(tmp_path)!r})"))
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_one_at_a_time_has_a_lock(tmp_path: Path) -> None:
    inside, most = [], []

    def enter() -> None:
        for _ in range(5):
            with locks.locked(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
    assert not list(tmp_path.iterdir())


def test_who_waits_tells_so_and_can_be_broken_off(
    tmp_path: Path, holder: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    holder("locks.locked(FOLDER / 'lock')")
    cancellation = Cancellation()
    with (
        pytest.raises(Cancelled),
        locks.locked(tmp_path / "lock", cancellation.cancel, cancellation),
    ):
        pass


def test_a_lock_goes_with_its_holder(
    tmp_path: Path, holder: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = holder("locks.locked(FOLDER / 'lock')")
    with locks.locked(tmp_path / "lock", process.kill):
        assert process.wait() == -9


def test_a_scratch_folder_is_there_until_the_block_ends(tmp_path: Path) -> None:
    with locks.scratch(tmp_path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").touch()
        with locks.scratch(tmp_path) as other:
            assert other != folder
        assert (folder / "deep/file").is_file()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_program_left_goes_with_the_next(
    tmp_path: Path, holder: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = holder("locks.scratch(FOLDER)")
    assert len(list(tmp_path.iterdir())) == 2
    with locks.scratch(tmp_path):
        assert len(list(tmp_path.iterdir())) == 4
    process.kill()
    process.wait()
    with locks.scratch(tmp_path):
        assert len(list(tmp_path.iterdir())) == 2
