"""Changes that are a reason to start again, and those that are none."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest
from mlfunc import watch
from mlfunc.watch import Changed, Unwatched, Watch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.2)


def told_of(told: SimpleQueue[Changed | Unwatched]) -> list[str]:
    """All that is told for as long as it takes to look several times."""
    names: list[str] = []
    try:
        while True:
            said = told.get(timeout=1.5)
            assert isinstance(said, Changed)
            names += said.names
    except Empty:
        return names


def test_a_model_that_appears_outside_of_the_project_is_a_change(
    project: Path, tmp_path: Path
) -> None:
    told: SimpleQueue[Changed | Unwatched] = SimpleQueue()
    with Watch(project, told.put) as watching:
        watching.models([tmp_path / "models" / "big"])
        (tmp_path / "models" / "big").mkdir(parents=True)
        (tmp_path / "models" / "big" / "model.bin").write_bytes(b"x")

        assert told.get(timeout=60) == Changed(["model.bin"])
        assert told_of(told) == []


def test_a_model_is_one_change_when_it_is_copied_and_none_while_it_is(
    project: Path, tmp_path: Path
) -> None:
    told: SimpleQueue[Changed | Unwatched] = SimpleQueue()
    model = tmp_path / "model.bin"
    model.write_bytes(b"old")
    watching = Watch(project, told.put)
    watching.models([model])
    before = watch.fingerprint([])
    for size in range(1, 10):
        model.write_bytes(b"x" * size * 10)
        before = watching._look(before)
    assert told.empty()

    watching._look(before)
    assert told.get_nowait() == Changed(["model.bin"])
    watching._look(before)
    assert told.empty()


def test_a_function_that_writes_into_a_model_that_is_its_whole_project_is_left_alone(
    project: Path,
) -> None:
    told: SimpleQueue[Changed | Unwatched] = SimpleQueue()
    with Watch(project, told.put) as watching:
        watching.models([project, project.parent])
        (project / "predictions.sqlite").write_bytes(b"x")

        assert told_of(told) == []


def test_what_a_download_keeps_aside_is_no_part_of_a_model(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    for name in (".cache/half", ".lock", "model.bin"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    assert {path for path, _, _ in watch.fingerprint([tmp_path])} == {str(tmp_path / "model.bin")}


@pytest.mark.parametrize(
    ("path", "watched"),
    [
        ("predictor.py", True),
        ("deep/module.py", True),
        ("mlfunc.yaml", True),
        ("requirements.txt", True),
        ("test_predictor.py", False),
        ("conftest.py", False),
        ("weights/model.safetensors", False),
        ("predictions.sqlite", False),
    ],
)
def test_code_and_settings_are_watched_and_data_is_not(path: str, watched: bool) -> None:
    assert watch.is_watched(path) is watched
