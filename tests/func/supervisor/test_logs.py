"""What a supervisor says is in a private file that does not grow for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from mlfunc.supervisor.home import Home

if TYPE_CHECKING:
    from pathlib import Path

SPEAK = """
import logging, os, sys
from pathlib import Path
from mlfunc.supervisor import logs
from mlfunc.supervisor.home import Home
logs.begin(Home(Path(sys.argv[1])), alone=sys.argv[2] == "alone")
for number in range(int(sys.argv[3])):
    logging.getLogger("mlfunc.x").info("line %d %s", number, "x" * 1000)
os.write(2, b"the end, of another kind")
"""


def speak(folder: Path, how: str, lines: int) -> str:
    """What it writes elsewhere than in the log."""
    return subprocess.run(
        [sys.executable, "-c", SPEAK, str(folder), how, str(lines)],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    ).stderr


def test_all_that_one_without_a_terminal_writes_is_in_its_log(tmp_path: Path) -> None:
    assert speak(tmp_path, "alone", 1) == ""

    log = Home(tmp_path).log
    first, last = log.read_text().splitlines()
    assert "Z INFO mlfunc.x: line 0" in first
    assert last == "the end, of another kind"
    assert log.stat().st_mode & 0o777 == 0o600


def test_one_in_a_terminal_speaks_there_too(tmp_path: Path) -> None:
    said = speak(tmp_path, "terminal", 1)

    assert "line 0" in said
    assert "the end" in said
    assert "line 0" in Home(tmp_path).log.read_text()


def test_the_journal_gets_levels_and_no_times(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as journal, os.fdopen(writing, "wb") as stream:
        found = os.fstat(writing)
        told = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        argv = [sys.executable, "-c", SPEAK, str(tmp_path), "terminal", "1"]
        subprocess.run(argv, stderr=stream, env=told, check=True)
        stream.close()
        said = journal.read()

    assert said.startswith(b"<6>mlfunc.x: line 0 xxx")
    assert "Z INFO mlfunc.x: line 0" in Home(tmp_path).log.read_text()


def test_a_long_log_is_begun_anew_and_what_comes_later_is_in_the_new_one(tmp_path: Path) -> None:
    speak(tmp_path, "alone", 5000)

    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["supervisor.log", "supervisor.log.1"]
    assert all(each.stat().st_size < 3 << 20 for each in files)
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in files)
    assert files[0].read_text().endswith("the end, of another kind")
