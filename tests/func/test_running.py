"""Running functions are found while they run, and not a moment longer."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc import paths, running
from mlfunc.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.running import Running

HOLD = """
import sys
from pathlib import Path
from mlfunc import running
publication = running.Publication()
publication.tell(sys.argv[1], Path(sys.argv[2]), sys.argv[3], serves=True)
print("there", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def published(name: str, folder: Path, url: str, *, serves: bool = True) -> Iterator[Running]:
    publication = running.Publication()
    try:
        yield publication.tell(name, folder, url, serves=serves)
    finally:
        publication.close()


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
    with published("ocr", tmp_path, "http://127.0.0.1:1") as entry:
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
        with published("speech", here, "http://127.0.0.1:2"):
            assert running.resolve("ocr", here) == "http://127.0.0.1:1"
            assert running.resolve(None, here) == "http://127.0.0.1:2"


def test_in_a_project_that_does_not_run_no_other_is_meant(tmp_path: Path, project: Path) -> None:
    with (
        published("ocr", tmp_path, "http://127.0.0.1:1"),
        pytest.raises(NotFound, match="of this folder does not run; running: ocr"),
    ):
        running.resolve(None, project)


def test_an_entry_of_another_version_is_passed_over(tmp_path: Path) -> None:
    with published("ocr", tmp_path, "http://127.0.0.1:1") as entry:
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


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("speech", "speech does not run here; running: hello"),
        ("helo", "helo does not run here; did you mean hello?"),
    ],
)
def test_a_name_that_does_not_run_is_told_with_the_likely_one_or_those_that_do(
    name: str, told: str, tmp_path: Path
) -> None:
    with published("hello", tmp_path, "http://127.0.0.1:1"), pytest.raises(NotFound) as raised:
        running.resolve(name, tmp_path)

    assert raised.value.message == told


def test_a_function_that_does_not_serve_now_is_told_as_such(project: Path) -> None:
    with published("greeter", project, "", serves=False) as entry:
        assert running.everything() == [entry]
        for target in ("greeter", None):
            with pytest.raises(NotFound, match=r"^greeter does not serve now$"):
                running.resolve(target, project)


def test_what_is_told_last_is_true(tmp_path: Path) -> None:
    publication = running.Publication()
    publication.tell("ocr", tmp_path, "", serves=False)
    publication.tell("ocr", tmp_path, "http://127.0.0.1:1", serves=True)

    assert running.resolve("ocr", tmp_path) == "http://127.0.0.1:1"
    publication.close()
    assert running.everything() == []
    assert list(paths.running().iterdir()) == []


def test_a_folder_that_was_asked_for_and_holds_no_project_means_no_other_function(
    tmp_path: Path,
) -> None:
    with published("ocr", tmp_path / "ocr", "http://127.0.0.1:1"):
        with pytest.raises(NotFound, match="no function's project in"):
            running.resolve(None, tmp_path, named=True)
        assert running.resolve(None, tmp_path) == "http://127.0.0.1:1"


def test_nothing_that_runs_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        running.resolve(None, tmp_path)

    assert raised.value.message == "no function runs here"
    assert "mlfunc run" in raised.value.hint
