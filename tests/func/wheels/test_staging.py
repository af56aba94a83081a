"""Folders on the way into a layer: there until the program ends, and not longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, signal
from mlfunc.wheels import staging
one, two = staging.folder(), staging.folder()
(one / "module.py").write_text("x")
print(one, two, sep="\\n", flush=True)
"""
_KILLED = f"{_PROGRAM}\nos.kill(os.getpid(), signal.SIGKILL)"


def run(home: Path, code: str) -> tuple[int, list[Path]]:
    argv = [sys.executable, "-c", f"{code}"]
    env = {**os.environ, "MLFUNC_HOME": str(home)}
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return ended.returncode, [Path(line) for line in ended.stdout.splitlines()]


def test_folders_are_apart_and_go_with_their_program(tmp_path: Path) -> None:
    code, folders = run(tmp_path, f"{_PROGRAM}\nassert one.is_dir() and two.is_dir()")

    assert code == 0
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)


def test_what_a_killed_program_left_goes_with_the_next(tmp_path: Path) -> None:
    code, left = run(tmp_path, _KILLED)
    assert code == -signal.SIGKILL
    assert all(folder.exists() for folder in left)

    run(tmp_path, _PROGRAM)

    assert not any(folder.exists() for folder in left)
