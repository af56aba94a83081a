"""Running functions are found while they run, and not a moment longer."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc import paths, running
from mlfunc.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from mlfunc import running
with running.published(sys.argv[1], Path(sys.argv[2]), sys.argv[3]):
    print("there", flush=True)
    sys.stdin.read()
"""


class Held:
    """A function that another process serves."""

    def __init__(self, name: str, folder: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, name, str(folder), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_function_is_found_while_it_runs(tmp_path: Path) -> None:
    with running.published("ocr", tmp_path, "http://127.0.0.1:1") as entry:
        assert running.everything() == [entry]
    assert running.everything() == []


def test_what_ended_without_tidying_up_is_tidied_up(tmp_path: Path) -> None:
    with Held("ocr", tmp_path, "http://127.0.0.1:1"):
        assert [entry.name for entry in running.everything()] == ["ocr"]

    assert len(list(paths.running().glob("*.json"))) == 1
    assert running.everything() == []
    assert not list(paths.running().glob("*.json"))


def test_a_url_is_itself() -> None:
    assert running.resolve("http://x.example/deep", None) == "http://x.example/deep"  # type: ignore[arg-type]


def test_a_name_the_folder_and_the_only_one_all_lead_to_a_function(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with Held("ocr", there, "http://127.0.0.1:1"):
        assert running.resolve(None, here) == "http://127.0.0.1:1"
        with running.published("speech", here, "http://127.0.0.1:2"):
            assert running.resolve("ocr", here) == "http://127.0.0.1:1"
            assert running.resolve(None, here) == "http://127.0.0.1:2"


def test_in_a_project_that_does_not_run_no_other_is_meant(tmp_path: Path, project: Path) -> None:
    with (
        running.published("ocr", tmp_path, "http://127.0.0.1:1"),
        pytest.raises(NotFound, match="of this folder does not run; there are ocr"),
    ):
        running.resolve(None, project)


def test_an_entry_of_another_version_is_passed_over(tmp_path: Path) -> None:
    with running.published("ocr", tmp_path, "http://127.0.0.1:1") as entry:
        file = paths.running() / f"{entry.pid}.json"
        file.write_text('{"name": "ocr", "socket": "/x"}')

        assert running.everything() == []


def test_several_that_could_be_meant_are_listed(tmp_path: Path) -> None:
    with (
        Held("ocr", tmp_path / "a", "http://127.0.0.1:1"),
        Held("speech", tmp_path / "b", "http://127.0.0.1:2"),
        pytest.raises(NotFound, match="several functions run here: ocr at"),
    ):
        running.resolve(None, tmp_path)


def test_a_name_that_does_not_run_is_told_with_those_that_do(tmp_path: Path) -> None:
    with (
        running.published("ocr", tmp_path, "http://127.0.0.1:1"),
        pytest.raises(NotFound, match="orc does not run here; there are ocr"),
    ):
        running.resolve("orc", tmp_path)


def test_nothing_that_runs_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        running.resolve(None, tmp_path)

    assert raised.value.message == "no function runs here"
    assert "mlfunc run" in raised.value.hint
