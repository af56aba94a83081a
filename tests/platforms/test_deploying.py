"""`mlfunc deploy`: what it makes, what it leaves alone, what it says of what does not start."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.platforms.conftest import GREETER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place

_GOODBYE = GREETER.replace("Hello", "Goodbye")
BROKEN = GREETER.replace("    def predict", "    def load(self):\n        1 / 0\n\n    def predict")


@pytest.fixture
def greeter(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A function that is deployed, with a name of its own for each test."""
    # What a name may have is fewer than what a test's has.
    name = f"g-{zlib.crc32(request.node.name.encode())}"
    project = place.project(tmp_path / name, GREETER)
    place.mlfunc("deploy", "--path", project)
    return project


def test_a_function_is_deployed_and_answers(place: Place, tmp_path: Path) -> None:
    project = place.project(tmp_path / "fresh", GREETER)

    # Of a share, there is none while it is the only one.
    shown = place.mlfunc("deploy", "--path", project, "--traffic", "10", "--dry-run").err
    deployed = place.mlfunc("deploy", "--path", project, "-o", "json").data

    assert "this one gets all, not 10 %" in shown
    assert (deployed["ready"], deployed["new_revision"]) == (True, True)
    assert deployed["revision"] == "fresh-00001"
    assert "@sha256:" in deployed["image"]
    assert [(each["action"], each["kind"]) for each in deployed["changes"]] == [
        ("create", "Service")
    ]
    answered = place.request("fresh", {"name": "Ada"})
    assert (answered.status, answered.json()) == (200, "Hello Ada")


def test_nothing_happens_where_nothing_has_changed(place: Place, greeter: Path) -> None:
    again = place.mlfunc("deploy", "--path", greeter, "-o", "json").data

    assert not again["new_revision"]
    assert {each["action"] for each in again["changes"]} == {"keep"}
    assert again["revision"] == f"{greeter.name}-00001"
    assert "has not changed" in place.mlfunc("deploy", "--path", greeter).err
    shown = place.mlfunc("deploy", "--path", greeter, "--dry-run").err
    assert f"{greeter.name} would stay as it is" in shown


def test_a_dry_run_shows_what_would_change_and_changes_nothing(place: Place, greeter: Path) -> None:
    place.project(greeter, _GOODBYE, scale={"max": 3})

    shown = place.mlfunc("deploy", "--path", greeter, "--dry-run")
    manifests = place.mlfunc("deploy", "--path", greeter, "--dry-run", "-o", "yaml")

    assert "max-scale]: 10 -> 3" in shown.err
    undone = {"local": "nothing was copied or started", "knative": "nothing was pushed"}
    assert f"this was a dry run: {undone[place.name]}, and nothing is changed" in shown.err
    assert [each["kind"] for each in yaml.safe_load_all(manifests.out)] == ["Service"]
    assert _revisions(place, greeter) == {f"{greeter.name}-00001": 100}
    assert place.request(greeter.name, {"name": "Ada"}).json() == "Hello Ada"


def test_a_change_of_scaling_alone_is_a_new_revision_of_the_same_image(
    place: Place, greeter: Path
) -> None:
    place.project(greeter, GREETER, scale={"max": 3})

    deployed = place.mlfunc("deploy", "--path", greeter, "-o", "json").data

    assert deployed["new_revision"]
    paths = [each["path"] for each in deployed["changes"][0]["differences"]]
    assert any("max-scale" in path for path in paths)
    assert not any(path.endswith("image") for path in paths)


def test_a_new_revision_gets_the_share_and_the_name_that_are_asked_for(
    place: Place, greeter: Path
) -> None:
    place.project(greeter, _GOODBYE)

    place.mlfunc("deploy", "--path", greeter, "--traffic", "10", "--tag", "canary")

    assert _revisions(place, greeter) == {
        f"{greeter.name}-00001": 90,
        f"{greeter.name}-00002": 10,
    }
    assert place.request(greeter.name, {"name": "Ada"}, tag="canary").json() == "Goodbye Ada"
    answers = [place.request(greeter.name, {"name": "Ada"}).json() for _ in range(5)]
    assert set(answers) <= {"Hello Ada", "Goodbye Ada"}


def test_a_revision_that_does_not_start_is_told_with_its_traceback_while_the_old_one_serves(
    place: Place, greeter: Path
) -> None:
    place.project(greeter, BROKEN)

    failed = place.mlfunc("deploy", "--path", greeter, code=7)

    assert "load raised ZeroDivisionError" in failed.err
    assert "1 / 0" in failed.err
    assert f"{greeter.name}-00001 serves on" in failed.err
    assert place.request(greeter.name, {"name": "Ada"}).json() == "Hello Ada"
    assert _revisions(place, greeter) == {
        f"{greeter.name}-00001": 100,
        f"{greeter.name}-00002": 0,
    }
    told = place.mlfunc("describe", "--path", greeter, "-o", "json").data
    assert told["reason"] == "failed"
    assert "load raised ZeroDivisionError" in told["message"]
    refused = place.mlfunc("traffic", "--path", greeter, f"{greeter.name}-00002=100", code=7)
    assert "is not ready" in refused.err
    listed = place.mlfunc("list")
    assert "failed" in listed.out
    assert "load raised ZeroDivisionError" in listed.err


def test_what_was_broken_is_mended_by_the_next_deployment(place: Place, greeter: Path) -> None:
    place.project(greeter, BROKEN)
    place.mlfunc("deploy", "--path", greeter, code=7)
    place.project(greeter, _GOODBYE)

    place.mlfunc("deploy", "--path", greeter)

    assert place.request(greeter.name, {"name": "Ada"}).json() == "Goodbye Ada"


def _revisions(place: Place, project: Path) -> dict[str, int]:
    """Percent by name."""
    told: dict[str, Any] = place.mlfunc("describe", "--path", project, "-o", "json").data
    return {each["name"]: each["percent"] for each in told["revisions"]}
