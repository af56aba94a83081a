"""Releases: whole or not there, their user's alone, and gone when nothing names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlfunc.environment import Environment
from mlfunc.errors import MlfuncError, NotFound
from mlfunc.layers.tree import Tree, scan
from mlfunc.supervisor import releases
from mlfunc.supervisor.home import Home
from mlfunc.supervisor.releases import Contents

DIGEST = "ab" * 32
ENVIRON = {"PATH": "/bin", "HOME": "/me", "PYTHONHOME": "/elsewhere"}


@pytest.fixture
def at(tmp_path: Path) -> Home:
    return Home(tmp_path / "platform")


@pytest.fixture
def files(project: Path) -> Tree:
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "tool.sh").chmod(0o777)
    (project / "link").symlink_to("predictor.py")
    return scan(project)


def written(at: Home, files: Tree, digest: str = DIGEST) -> Path:
    contents = Contents(files, Environment(Path("/envs/1")), {"MLFUNC_MODEL_X": "/models/x"})
    releases.write(at, digest, contents)
    return at.releases / digest


def test_a_release_says_how_it_is_started(at: Home, files: Tree) -> None:
    folder = written(at, files)
    found = releases.load(at, DIGEST, ENVIRON)

    assert (found.digest, found.python) == (DIGEST, "/envs/1/bin/python")
    assert (found.folder, found.size) == (str(folder / "app"), files.size)
    assert found.env == {
        "HOME": "/me",
        "MLFUNC_FUNCTION": str(folder / "app" / "mlfunc.yaml"),
        "MLFUNC_IMPORT_CACHE": "/envs/1/import-cache",
        "MLFUNC_MODEL_X": "/models/x",
        "PATH": "/envs/1/bin:/bin",
        "VIRTUAL_ENV": "/envs/1",
    }


def test_its_files_are_copies_for_its_user_alone(at: Home, files: Tree, project: Path) -> None:
    app = written(at, files) / "app"

    assert at.releases.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.lstat().st_mode & 0o777 for path in (app.parent, *app.iterdir())}
    assert modes == {
        DIGEST: 0o700,
        "link": 0o777,
        "mlfunc.yaml": 0o600,
        "predictor.py": 0o600,
        "tool.sh": 0o700,
    }
    assert (app / "predictor.py").stat().st_ino != (project / "predictor.py").stat().st_ino
    assert (app / "link").readlink() == Path("predictor.py")


def test_one_that_is_there_stays_as_it_is(at: Home, files: Tree) -> None:
    folder = written(at, files)
    before = (folder / "release.json").stat().st_ino
    written(at, files)

    assert (folder / "release.json").stat().st_ino == before
    assert [path.name for path in at.releases.iterdir()] == [DIGEST]
    assert releases.is_there(at, DIGEST)


def test_one_that_could_not_be_finished_is_not_there(at: Home, files: Tree, project: Path) -> None:
    (project / "predictor.py").write_text("changed meanwhile")

    with pytest.raises(MlfuncError, match="changed while it was read"):
        written(at, files)
    assert not releases.is_there(at, DIGEST)
    assert [*at.releases.iterdir()] == []


def test_where_nothing_can_be_written_the_place_is_told(tmp_path: Path, files: Tree) -> None:
    (tmp_path / "platform").touch()

    with pytest.raises(MlfuncError, match=r"cannot be written to .*/platform/releases: not a dir"):
        written(Home(tmp_path / "platform"), files)


@pytest.mark.parametrize("digest", [DIGEST, "../../etc", ""])
def test_one_that_is_not_there_is_to_be_deployed_again(at: Home, digest: str) -> None:
    with pytest.raises(NotFound) as caught:
        releases.load(at, digest)
    assert "deploy the function again" in caught.value.hint


def test_one_that_is_broken_is_none_until_it_is_made_anew(at: Home, files: Tree) -> None:
    (written(at, files) / "release.json").write_text("")

    assert not releases.is_there(at, DIGEST)
    with pytest.raises(NotFound, match=f"no release {DIGEST[:12]}"):
        releases.load(at, DIGEST)
    written(at, files)
    assert releases.load(at, DIGEST).size == files.size


def test_images_name_releases_and_those_of_registries_do_not() -> None:
    assert releases.digest_of(releases.image("x", DIGEST)) == DIGEST
    assert releases.digest_of(f"registry.example.com/local/x@sha256:{DIGEST}") is None
    assert releases.digest_of("local/x:latest") is None


def test_what_nothing_names_is_removed_but_what_is_young_or_runs(at: Home, files: Tree) -> None:
    for digit in "1234":
        folder = written(at, files, digit * 64)
        if digit != "4":
            os.utime(folder, (1, 1))
    (at.releases / ".unfinished-1").mkdir()
    os.utime(at.releases / ".unfinished-1", (1, 1))
    runs = releases.load(at, "2" * 64).folder
    releases.prune(at, kept={"1" * 64}, folders={runs})

    assert sorted(path.name[0] for path in at.releases.iterdir()) == ["1", "2", "4"]


def test_one_that_is_deployed_again_is_young_again(at: Home, files: Tree) -> None:
    os.utime(written(at, files), (1, 1))

    assert releases.is_there(at, DIGEST)
    releases.prune(at, kept=())
    assert releases.is_there(at, DIGEST)


def test_where_there_are_none_there_is_nothing_to_prune(at: Home) -> None:
    releases.prune(at, kept=())
