"""Deployments that are not waited for, or not to their end: what goes on, and what is said of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.platforms.conftest import GREETER
from tests.rig import places
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place

_LOADS = "    def load(self):\n        time.sleep(10)\n\n    def predict"
SLOW = "import time\n" + GREETER.replace("    def predict", _LOADS)


def test_who_waits_no_longer_is_told_what_goes_on_and_it_does(place: Place, tmp_path: Path) -> None:
    project = place.project(tmp_path / "left", SLOW)

    with places.started(place, "deploy", "--path", project) as deploying:
        places.expect(deploying, "loading ...")
        deploying.send_signal(signal.SIGINT)
        places.expect(deploying, "goes on with left-00001, and nobody waits")
        assert deploying.wait(60) == 130
    told = place.mlfunc("describe", "--path", project, "-o", "json").data
    assert (told["ready"], told["reason"]) == (False, "starting")
    eventually(lambda: _is_ready(place, project), "it is ready", seconds=120)
    assert place.request("left", {"name": "Ada"}).json() == "Hello Ada"


def test_a_deployment_that_takes_too_long_says_how_far_it_is_while_the_old_one_serves(
    place: Place, tmp_path: Path
) -> None:
    project = place.project(tmp_path / "late", GREETER)
    place.mlfunc("deploy", "--path", project)
    place.project(project, SLOW.replace("Hello", "Goodbye"))

    late = place.mlfunc("deploy", "--path", project, "--timeout", "2", code=7)

    assert "late-00002 is not ready after" in late.err
    assert "late-00001 serves on" in late.err
    assert "--timeout waits longer" in late.err
    assert place.request("late", {"name": "Ada"}).json() == "Hello Ada"
    # The same again waits for what is under way.
    place.mlfunc("deploy", "--path", project)
    assert place.request("late", {"name": "Ada"}).json() == "Goodbye Ada"


def test_who_is_overtaken_by_another_deployment_is_told_so(place: Place, tmp_path: Path) -> None:
    mine = place.project(tmp_path / "mine" / "raced", SLOW.replace("(10)", "(120)"))
    theirs = place.project(tmp_path / "theirs" / "raced", GREETER.replace("Hello", "Goodbye"))

    with places.started(place, "deploy", "--path", mine) as deploying:
        places.expect(deploying, "loading ...")
        deployed = place.mlfunc("deploy", "--path", theirs, "-o", "json").data
        # By name, where that has its revision already.
        places.expect(deploying, "raced-00001 was overtaken by ")
        assert deploying.wait(60) == 7
    assert (deployed["revision"], deployed["ready"]) == ("raced-00002", True)
    assert place.request("raced", {"name": "Ada"}).json() == "Goodbye Ada"


def test_nobody_has_to_wait(place: Place, tmp_path: Path) -> None:
    project = place.project(tmp_path / "unseen", SLOW.replace("(10)", "(2)"))

    deployed = place.mlfunc("deploy", "--path", project, "--no-wait", "-o", "json").data

    assert (deployed["applied"], deployed["ready"]) == (True, False)
    eventually(lambda: _is_ready(place, project), "it is ready", seconds=120)


def _is_ready(place: Place, project: Path) -> bool:
    found: bool = place.mlfunc("describe", "--path", project, "-o", "json").data["ready"]
    return found
