"""Which project uses what: what it said last, and only while it is there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mlfunc.cache import projects

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_note_of_a_kind_counts(project: Path) -> None:
    projects.note(project, "model", ["b", "a"])
    projects.note(project, "environment", ["old"])
    projects.note(project, "environment", ["new"])

    (found,) = projects.noted()
    assert found.folder == project.resolve()
    assert dict(found.used) == {
        "environment": {"new"},
        "model": {"a", "b"},
        "image": frozenset(),
    }


def test_a_folder_without_a_function_is_no_project(project: Path) -> None:
    projects.note(project, "environment", ["key"])
    (project / "mlfunc.yaml").unlink()
    (found,) = projects.noted()
    assert not found.exists

    projects.forget(found)
    assert projects.noted() == ()


def test_folders_may_be_called_anything(tmp_path: Path) -> None:
    odd = tmp_path / "with blank\nand line \udcff"
    odd.mkdir()
    (odd / "mlfunc.yaml").touch()
    projects.note(odd, "environment", ["key"])
    assert [each.folder for each in projects.noted() if each.exists] == [odd.resolve()]
    shutil.rmtree(odd)


def test_using_nothing_is_noted_too(project: Path) -> None:
    projects.note(project, "model", ["a"])
    projects.note(project, "model", [])
    (found,) = projects.noted()
    assert found.used["model"] == frozenset()
