"""The commands for what is deployed: each says what is, and does what it says."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.conftest import GREETER
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.places import Place

HOOKED = '''
import logging
import sys

class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        print("predicting for", name, file=sys.stderr)
        return f"Hello {name}"

    def after_response(self, result, request):
        logging.getLogger("greeter").warning("told the friends of %s", result)
'''

TELLER = '''
class Teller:
    """Tells which model it has, looking anew each time."""

    def load(self, context):
        self.model = context.model("default")

    def predict(self) -> str:
        return (self.model / "v.txt").read_text()
'''


@pytest.fixture(scope="module")
def greeter(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function of two revisions; the second says Goodbye."""
    project = place.project(tmp_path_factory.mktemp("work") / "greeter", HOOKED)
    place.mlfunc("deploy", "--path", project)
    place.project(project, HOOKED.replace("Hello", "Goodbye"))
    place.mlfunc("deploy", "--path", project)
    return project


@pytest.fixture
def promoted(place: Place, greeter: Path) -> Iterator[Path]:
    """The same, whose newest revision gets all requests before and after."""
    yield greeter
    place.mlfunc("traffic", "--path", greeter, "--promote")


def test_the_list_tells_what_is_there(place: Place, greeter: Path) -> None:
    (listed,) = (each for each in place.mlfunc("list", "-o", "json").data if _is(each, greeter))
    shown = place.mlfunc("list").out

    assert (listed["ready"], listed["runtime"]) == (True, "python")
    assert (listed["deployer"], listed["origin"]) == (place.name, "mlfunc")
    assert (listed["revision"], listed["concurrency"]) == ("greeter-00002", 64)
    by_host, by_path = r"greeter\.[\w.-]+(:\d+)?", r"127\.0\.0\.1:\d+/greeter\.[\w-]+"
    assert re.fullmatch(rf"http://({by_host}|{by_path})", listed["url"])
    assert shown.splitlines()[0].split() == ["NAME", "READY", "REVISION", "INSTANCES", "URL"]
    wide = place.mlfunc("list", "-A", "--wide").out.splitlines()[0].split()
    assert {"NAMESPACE", "AGE", "MODELS", "ACCELERATOR", "CONCURRENCY"} < set(wide)
    everywhere = place.mlfunc("list", "-A", "-o", "json").data
    assert listed["namespace"] in {each["namespace"] for each in everywhere}


def test_a_function_is_described_with_its_revisions_and_its_start(
    place: Place, greeter: Path, figure: Callable[[str], None]
) -> None:
    place.mlfunc("invoke", "--path", greeter)

    told = place.mlfunc("describe", "--path", greeter, "-o", "json").data

    assert [each["name"] for each in told["revisions"]] == ["greeter-00002", "greeter-00001"]
    assert [each["percent"] for each in told["revisions"]] == [100, 0]
    assert "@sha256:" in told["image"]
    assert told["scaling"]["max_scale"] == 10
    assert told["timeouts"]["request_seconds"] >= 60
    assert told["start"]["runtime"]["total"] > 0
    assert told["changed_by"] == []
    assert (told["not_ready"], told["reason"]) == ({}, None)
    assert "cold start" in place.mlfunc("describe", "--path", greeter).out
    figure(f"start: {told['start']['starting']:.1f} s outside, {told['start']['runtime']}")


def test_logs_show_what_instances_say_with_their_hooks(place: Place, greeter: Path) -> None:
    place.mlfunc("invoke", "--path", greeter, "--data", '{"name": "Grace"}')

    def said() -> str:
        out = place.mlfunc("logs", "--path", greeter).out
        return out if "told the friends of Goodbye Grace" in out else ""

    shown = eventually(said, "the hook's line is there")
    newest = ("logs", "--path", greeter, "--revision", "greeter-00002")
    told = [json.loads(line) for line in place.mlfunc(*newest, "-o", "json").out.splitlines()]

    assert "predicting for Grace" in shown
    assert '{"time"' not in shown
    assert any(each.get("record", {}).get("phase") == "ready" for each in told)
    assert any(each.get("text") == "predicting for Grace" for each in told)
    assert {each["revision"] for each in told} == {"greeter-00002"}
    last = place.mlfunc(*newest, "--tail", "1", "-o", "json").out.splitlines()
    assert len(last) == len({each["pod"] for each in told})
    assert "no revision greeter-00009" in (
        place.mlfunc("logs", "--path", greeter, "--revision", "greeter-00009", code=5).err
    )


def test_a_function_is_invoked_by_its_name_its_tag_and_with_an_event(
    place: Place, promoted: Path
) -> None:
    place.mlfunc("traffic", "--path", promoted, "--tag", "old=greeter-00001")

    answered = place.mlfunc("invoke", "greeter")
    tagged = place.mlfunc("invoke", "greeter", "--tag", "old", "--data", '{"name": "Bo"}')
    event = place.mlfunc("invoke", "greeter", "--event", "-o", "json").data
    many = place.mlfunc("invoke", "greeter", "-n", "40", "-c", "4", "-o", "json").data

    assert json.loads(answered.out) == "Goodbye Ada"
    assert json.loads(tagged.out) == "Hello Bo"
    assert event["event"]["type"] == "dev.mlfunc.greeter.result"
    assert (many["requests"], many["errors"]) == (40, {})
    unknown = place.mlfunc("invoke", "greeter", "--tag", "new", code=5)
    assert "no revision with the tag new" in unknown.err
    place.mlfunc("traffic", "--path", promoted, "--untag", "old")


def test_a_name_that_is_not_there_is_told_with_the_likely_one(place: Place, greeter: Path) -> None:
    for command in ("describe", "invoke", "logs"):
        missed = place.mlfunc(command, greeter.name.replace("greeter", "gretter"), code=5)
        assert "there is no function gretter" in missed.err
        assert "did you mean greeter?" in missed.err


def test_traffic_is_split_tagged_and_promoted(place: Place, promoted: Path) -> None:
    at = ("traffic", "--path", promoted)

    split = place.mlfunc(*at, "greeter-00001=100", "--tag", "canary=latest", "-o", "json").data

    assert [(each["revision"], each["percent"], each["tag"]) for each in split["traffic"]] == [
        ("greeter-00001", 100, None),
        ("greeter-00002", 0, "canary"),
    ]
    assert place.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    assert place.request("greeter", {"name": "Ada"}, tag="canary").json() == "Goodbye Ada"
    assert "sum up to 30, not to 100" in place.mlfunc(*at, "canary=30", code=2).err
    assert "did you mean greeter-00001?" in place.mlfunc(*at, "greeter-0001=100", code=5).err
    place.mlfunc(*at, "--promote", "--untag", "canary")
    assert place.mlfunc(*at, "-o", "json").data["traffic"] == [
        {"revision": "greeter-00002", "percent": 100, "follows": True, "tag": None, "url": None}
    ]
    assert place.request("greeter", {"name": "Ada"}).json() == "Goodbye Ada"


def test_a_rollback_holds_until_something_new_is_deployed(place: Place, promoted: Path) -> None:
    at = ("--path", promoted)

    back = place.mlfunc("rollback", *at, "-o", "json").data

    assert (back["revision"], back["before"]) == ("greeter-00001", ["greeter-00002"])
    assert place.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    assert not place.mlfunc("deploy", *at, "-o", "json").data["new_revision"]
    assert place.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    assert "--to greeter-00002" in place.mlfunc("rollback", *at, code=5).err
    place.mlfunc("rollback", *at, "--to", "greeter-00002")
    assert place.request("greeter", {"name": "Ada"}).json() == "Goodbye Ada"


def test_a_rollback_brings_the_model_back(place: Place, tmp_path: Path) -> None:
    project = place.project(tmp_path / "teller", TELLER, models={"default": "./w"})
    at = ("--path", project)
    for version in "12":
        (project / "w").mkdir(exist_ok=True)
        (project / "w" / "v.txt").write_text(version)
        place.mlfunc("deploy", *at)
        assert place.request("teller", {}).json() == version

    shutil.rmtree(project / "w")
    place.mlfunc("rollback", *at)

    assert place.request("teller", {}).json() == "1"


def test_what_is_deleted_is_told_before_and_gone_after(place: Place, tmp_path: Path) -> None:
    project = place.project(tmp_path / "doomed", GREETER)
    place.mlfunc("deploy", "--path", project)
    at = ("delete", "--path", project)

    asked = place.mlfunc(*at, code=2)
    assert "--yes" in asked.err
    assert "- Service doomed in" in asked.err
    assert place.request("doomed", {"name": "Ada"}).json() == "Hello Ada"

    removed = place.mlfunc(*at, "--yes", "-o", "json").data

    assert (removed["name"], removed["revisions"]) == ("doomed", ["doomed-00001"])
    assert "doomed" not in {each["name"] for each in place.mlfunc("list", "-o", "json").data}
    assert "there is no function doomed" in place.mlfunc(*at, "--yes", code=5).err


def _is(listed: dict[str, Any], project: Path) -> bool:
    return bool(listed["name"] == project.name)
