"""Instances: none where there is nothing to do, one when a request comes, more under load."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import places
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.rig.places import Place

SLEEPER = '''
import time


class Sleeper:
    """Sleeps."""

    example = {"seconds": 0.01}

    def predict(self, seconds: float) -> float:
        time.sleep(seconds)
        print("slept", seconds, flush=True)
        return seconds
'''
_QUICK: dict[str, Any] = {"scale": {"max": 3, "window": "6s", "retention": "0s"}}


@pytest.fixture(scope="module")
def sleeper(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling") / "sleeper"
    serve = {"slots": 1, "concurrency": 2, "drain": "1s", "timeout": "30s"}
    project = place.project(folder, SLEEPER, **_QUICK, serve=serve)
    place.mlfunc("deploy", "--path", project)
    return project


def test_it_is_scaled_to_zero_and_the_next_request_waits_for_an_instance(
    place: Place, sleeper: Path, figure: Callable[[str], None]
) -> None:
    eventually(lambda: _instances(place) == 0, "it is scaled to zero", seconds=120)
    with places.started(place, "logs", "--follow", "--path", sleeper) as follower:
        places.expect(follower, "sleeper is scaled to zero: waiting for an instance")

        began = time.monotonic()
        answered = place.mlfunc("invoke", "--path", sleeper, "-v")
        figure(f"cold start, seen by the command: {time.monotonic() - began:.2f} s")

        places.expect(follower, "ready after", "slept 0.01")
    assert json.loads(answered.out) == 0.01
    assert "waiting for an instance of sleeper-00001" in answered.err
    assert "cold start  " in answered.err
    assert _instances(place) == 1


def test_more_requests_at_once_than_one_takes_bring_more_instances(
    place: Place, sleeper: Path
) -> None:
    load = threading.Thread(
        target=place.mlfunc,
        args=("invoke", "sleeper", "-n", "24", "-c", "12", "--data", '{"seconds": 1}'),
    )
    load.start()
    eventually(lambda: _instances(place) > 1, "there is more than one", seconds=120)
    load.join()


def test_bounds_are_changed_without_a_new_revision_and_the_instances_follow(
    place: Place, sleeper: Path, figure: Callable[[str], None]
) -> None:
    began = time.monotonic()
    raised = place.mlfunc("scale", "--path", sleeper, "--min", "2", "-o", "json")
    took = time.monotonic() - began
    eventually(lambda: _instances(place) == 2, "there are two instances", seconds=120)
    figure(f"scale --min 2: taken in {took:.1f} s, ready after {time.monotonic() - began:.1f} s")
    state = place.mlfunc("scale", "--path", sleeper, "-o", "json").data[0]
    # By hand, it outlasts a deployment that changes nothing.
    assert not place.mlfunc("deploy", "--path", sleeper, "-o", "json").data["new_revision"]
    kept = place.mlfunc("scale", "--path", sleeper, "-o", "json").data[0]["policy"]["min"]
    with places.started(place, "logs", "--follow", "--path", sleeper) as follower:
        places.expect(follower, "ready after")
        place.mlfunc("scale", "--path", sleeper, "--min", "0")
        eventually(lambda: _instances(place) == 0, "it is scaled to zero again", seconds=120)
        places.expect(follower, "stopped", "stopped")

    assert kept == 2
    assert raised.data["revisions"][0]["policy"]["min"] == 2
    assert raised.data["next_revision"] == {"min": "0"}
    assert "the next new revision has min 0: by mlfunc.yaml" in raised.err
    assert (state["wanted"], state["why"]) == (2, "min keeps them")
    told = place.mlfunc("describe", "--path", sleeper, "-o", "json").data
    assert [each["name"] for each in told["revisions"]] == ["sleeper-00001"]


def test_bounds_that_contradict_each_other_are_refused(place: Place, sleeper: Path) -> None:
    refused = place.mlfunc("scale", "--path", sleeper, "--min", "5", "--max", "2", code=2)

    assert "min is 5, more than max, which is 2" in refused.err


def _instances(place: Place) -> int:
    """That serve."""
    told = place.mlfunc("list", "-o", "json").data
    (found,) = (each["replicas"] for each in told if each["name"] == "sleeper")
    return int(found)
