"""Under a lifecycle each buildpack settles its own part, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc import environment, function
from mlfunc.errors import MlfuncError
from mlfunc.lock import Lock
from mlfunc.packs import settled, table
from mlfunc.project import Project, Target

from tests.rig.index import wheel

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target("linux/amd64", "3.11", "cpu")


@pytest.fixture
def ours(project: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A function with a package and a model, both here: nobody else has to be asked."""
    monkeypatch.setattr(environment, "runtime_requirement", lambda: ("near-by==1",))
    (project / "mlfunc.yaml").write_text("name: greeter\nmodels: {default: ./weights}\n")
    (project / "weights").mkdir()
    (project / "weights" / "model.bin").write_bytes(b"weights")
    wheel(project / "wheels", "near-by", "1")
    (project / "requirements.txt").write_text("--no-index\nnear-by\n")
    return Project(project, function.load(project), Lock(), TARGET, "/usr/bin/python3.11")


@pytest.mark.parametrize("pack", ["mlfunc/accelerator", "mlfunc/python"])
def test_those_of_packages_settle_packages(ours: Project, pack: str) -> None:
    lock = settled.settle(pack, ours)

    assert [package.name for package in lock.python[TARGET.name].packages] == ["near-by"]
    assert not lock.models


def test_that_of_models_settles_models(ours: Project) -> None:
    lock = settled.settle("mlfunc/model", ours)

    assert [file.path for file in lock.models["default"].files] == ["model.bin"]
    assert not lock.python


def test_that_of_the_app_needs_nothing(ours: Project) -> None:
    assert settled.settle("mlfunc/app", ours) == Lock()


def test_a_model_that_is_not_there_is_named(ours: Project) -> None:
    (ours.folder / "weights" / "model.bin").unlink()
    (ours.folder / "weights").rmdir()

    with pytest.raises(MlfuncError, match="weights"):
        settled.settle("mlfunc/model", ours)


def test_what_changes_most_rarely_lies_lowest() -> None:
    assert [pack.ID for pack in table.PACKS] == [
        "mlfunc/accelerator",
        "mlfunc/model",
        "mlfunc/python",
        "mlfunc/app",
    ]
