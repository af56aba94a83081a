"""What deployed functions use of the cache is known while a supervisor runs, and while none does."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.platforms.local import deployed, stopping
from mlfunc.supervisor.home import Home

from tests.rig.cluster import eventually
from tests.rig.places import OnThisMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAITS = '''
import os, time

class Waits:
    """Until a file is there."""

    def predict(self, file: str) -> str:
        open(file + ".begun", "w").close()
        while not os.path.exists(file):
            time.sleep(0.05)
        return "done"
'''


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnThisMachine]:
    """With a function whose project is gone."""
    place = OnThisMachine("team", tmp_path_factory.mktemp("machine"))
    folder = place.project(place.home / "waits", WAITS)
    place.mlfunc("deploy", "--path", folder)
    shutil.rmtree(folder)
    yield place
    stopping.stop(Home(place.home / "platform"))


def functions(machine: OnThisMachine) -> set[str]:
    return {each.function for each in deployed.find(Home(machine.home / "platform"))}


def pruned(machine: OnThisMachine) -> list[str]:
    told = machine.mlfunc("cache", "prune", "--all", "--yes", "-o", "json").data
    return [item["kind"] for item in told["removed"]]


def test_where_nothing_was_ever_deployed_nothing_is(tmp_path: Path) -> None:
    assert deployed.find(Home(tmp_path / "platform")) == ()


def test_what_is_deployed_is_known_while_no_supervisor_runs(machine: OnThisMachine) -> None:
    machine.mlfunc("platform", "stop")
    assert functions(machine) == {"team/waits"}
    assert pruned(machine) == []
    machine.mlfunc("platform", "start", "--port", "0")


def test_an_environment_stays_until_the_last_instance_of_a_deleted_function_has_ended(
    machine: OnThisMachine, tmp_path: Path
) -> None:
    file, replies = tmp_path / "file", list[int]()
    body = {"file": str(file)}
    asking = threading.Thread(target=lambda: replies.append(machine.request("waits", body).status))
    asking.start()
    eventually((tmp_path / "file.begun").exists, "it is asked")
    assert functions(machine) == {"team/waits"}

    machine.mlfunc("delete", "waits", "--yes", "--no-wait")
    assert functions(machine) == {"team/waits"}
    assert pruned(machine) == []

    file.touch()
    asking.join()
    assert replies == [200]
    eventually(lambda: not functions(machine), "nothing is left of it")
    assert pruned(machine) == ["environment"]
