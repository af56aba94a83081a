"""`mlfunc cache`: what is there is shown, and goes when nothing needs it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from mlfunc import cli
from mlfunc.cache import holding

from tests.func.cache.things import environment
from tests.rig import base
from tests.rig.hub import hub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def unused(project: Path) -> Path:
    """An environment whose project is gone."""
    made = environment("key", project)
    holding.let_go()
    (project / "mlfunc.yaml").unlink()
    return made


def test_it_shows_what_is_there_and_by_whom_it_is_used(
    project: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment("key", project)
    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["KIND", "WHAT", "SIZE", "USED", "BY"]
    assert shown[1].split()[:2] == ["environment", "key"]
    assert shown[1].endswith(f"what runs now, {project}")
    assert shown[2].startswith(str(home))


def test_programs_get_the_same_as_json(unused: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (item,) = told.pop("items")
    assert told == {"cache": str(unused.parents[1]), "size": item["size"], "unused": item["size"]}
    assert (item["kind"], item["path"]) == ("environment", str(unused))
    assert (item["projects"], item["deployed"], item["busy"]) == ([], [], False)


def test_a_dry_run_says_what_would_go(unused: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "prune", "--dry-run", "-o", "json"]) == 0
    told = capsys.readouterr()
    assert [item["path"] for item in json.loads(told.out)["removed"]] == [str(unused)]
    assert "- environment key: " in told.err
    assert unused.is_dir()


def test_nobody_is_asked_in_a_script(unused: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "prune"]) == 2
    assert "--yes takes it away all the same" in capsys.readouterr().err
    assert unused.is_dir()

    assert cli.main(["cache", "prune", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("freed ")
    assert not unused.exists()


def test_what_was_used_lately_stays_if_only_older_things_are_to_go(
    unused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cache", "prune", "--older-than", "30d", "-y"]) == 0
    assert "nothing to take away" in capsys.readouterr().err
    assert unused.is_dir()

    days = time.time() - 31 * 86_400
    os.utime(holding.mark(unused), (days, days))
    assert cli.main(["cache", "prune", "--older-than", "30d", "-y"]) == 0
    assert not unused.exists()


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", "inf"])
def test_an_age_has_a_unit(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "prune", f"--older-than={age}"]) == 2
    assert f"{age} is no age: write it like 12h, 30d or 4w" in capsys.readouterr().err


def test_what_a_project_uses_goes_with_all(project: Path) -> None:
    made = environment("key", project)
    holding.let_go()
    assert cli.main(["cache", "prune", "-y"]) == 0
    assert made.is_dir()
    assert cli.main(["cache", "prune", "--all", "-y"]) == 0
    assert not made.exists()


def test_a_build_that_goes_on_meanwhile_comes_to_its_end(
    project: Path, home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever it has made or fetched so far, it uses."""
    weights = {"config.json": b"{}", "model.bin": os.urandom(3_000_000)}
    with hub() as there:
        there.add("org/tiny", weights)
        image = base.write(tmp_path_factory.mktemp("base") / "layout")
        with (project / "mlfunc.yaml").open("a") as file:
            file.write("models: {default: hf://org/tiny}\n")
        out = tmp_path / "out"
        argv = [sys.executable, "-m", "mlfunc", "build", "-v", "--path", project, "--output", out]
        env = {**os.environ, "MLFUNC_BASE_IMAGE": f"oci:{image}", "HF_ENDPOINT": there.endpoint}
        given = [str(each) for each in argv]
        with subprocess.Popen(given, env=env, stderr=subprocess.PIPE, text=True) as building:
            assert building.stderr
            said = []
            for line in building.stderr:
                said.append(line)
                assert cli.main(["cache", "prune", "--all", "--yes"]) == 0
    assert building.returncode == 0, "".join(said)
    blobs = list((out / "blobs" / "sha256").iterdir())
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)
    assert sum(blob.stat().st_size for blob in blobs) > 3_000_000
