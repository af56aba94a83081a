from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from mlfunc.builder import launcher
from mlfunc.layers import tree
from mlfunc.packs.layer import Process

if TYPE_CHECKING:
    from pathlib import Path

WEB = Process("web", ("printf", "%s|", "it's web"), default=True)
SHELL = Process("shell", ("printf", "%s|", "shell"))


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """The launcher under all names that it is called by."""
    tree.write(launcher.tree([SHELL, WEB]), tmp_path)
    script = tmp_path / launcher.LAUNCHER.lstrip("/")
    for name in ("web", "shell"):
        (script.parent / name).symlink_to(script)
    return script.parent


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["web"], "it's web|"),
        (["web", "more", "a b"], "it's web|more|a b|"),
        (["shell"], "shell|"),
        (["launcher"], "it's web|"),
        (["launcher", "--"], "it's web|"),
        (["launcher", "printf", "%s", "a b"], "a b"),
        (["launcher", "--", "printf", "%s", "$HOME"], "$HOME"),
        (["launcher", "sh", "-c", "printf %s $0$1", "x", "y"], "xy"),
    ],
    ids=" ".join,
)
def test_what_starts_is_said_by_name_and_arguments(
    bin_folder: Path, command: list[str], said: str
) -> None:
    argv = [str(bin_folder / command[0]), *command[1:]]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == said


def test_the_process_takes_the_place_of_the_launcher(bin_folder: Path) -> None:
    argv = [str(bin_folder / "launcher"), "sh", "-c", "echo $PPID"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate()
    assert int(said) == os.getpid()


def test_each_process_has_a_name_that_leads_to_the_launcher() -> None:
    links = launcher.links([SHELL, WEB]).entries
    assert [each.path for each in links] == ["cnb/process/shell", "cnb/process/web"]
