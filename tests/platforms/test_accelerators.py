"""Accelerators of this machine, which is made to look as if it had two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.rig.containers import program
from tests.rig.places import OnThisMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEER = """
import os

class Seer:
    example = {}

    def load(self):
        print("sees", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)

    def predict(self) -> str:
        return "Hello"
"""
# A file is all that is looked for. Nothing of it is left in this machine's own /dev.
_FILES = ("nvidia0", "nvidia1", "nvidiactl")


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnThisMachine]:
    """With a supervisor of its own, which lives where its first command did."""
    links = [word for each in _FILES for word in ("--symlink", "null", f"/dev/{each}")]
    dressed = (program("bwrap", "bubblewrap"), "--dev-bind", "/", "/", "--dev", "/dev", *links)
    here = OnThisMachine("default", tmp_path_factory.mktemp("home"), through=dressed)
    yield here
    here.mlfunc("platform", "stop", "--timeout", "10")


def test_each_instance_has_one_of_its_own_and_a_new_revision_waits_or_takes_its_place(
    two_gpus: OnThisMachine, tmp_path: Path
) -> None:
    keys = {"accelerator": "nvidia", "scale": {"min": 2, "max": 3}}
    project = two_gpus.project(tmp_path / "seer", SEER, **keys)

    two_gpus.mlfunc("deploy", "--path", project)
    assert sorted(re.findall(r"sees (\S+)", two_gpus.mlfunc("logs", "seer").out)) == ["0", "1"]

    two_gpus.project(project, SEER.replace("Hello", "Goodbye"), **keys)
    planned = two_gpus.mlfunc("deploy", "--path", project, "--dry-run")
    assert re.search(
        r"0 of 2 nvidia.com/gpu are free, .*: default/seer-00001-", planned.out + planned.err
    )
    waits = two_gpus.mlfunc("deploy", "--path", project, "--timeout", "2", code=7).err
    assert "0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in waits
    assert re.search(r"seer-00001-\S+ of the old revision holds nvidia.com/gpu", waits)
    assert "`deploy: {rollout: recreate}`" in waits
    told = two_gpus.mlfunc("describe", "seer").out
    assert "scheduling: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in told
    assert two_gpus.request("seer", {}).json() == "Hello"

    two_gpus.project(
        project, SEER.replace("Hello", "Goodbye"), deploy={"rollout": "recreate"}, **keys
    )
    two_gpus.mlfunc("deploy", "--path", project)
    assert two_gpus.request("seer", {}).json() == "Goodbye"


def test_more_than_there_are_is_refused_at_once(two_gpus: OnThisMachine, tmp_path: Path) -> None:
    project = two_gpus.project(
        tmp_path / "many", SEER, accelerator={"type": "nvidia", "count": 3}, resources={"cpu": 500}
    )

    failed = two_gpus.mlfunc("deploy", "--path", project, code=7).err

    assert "no node can ever take it (nvidia.com/gpu 3)" in failed
    assert "it has nvidia.com/gpu 2" in failed
