"""The local platform as its user has it: what it keeps through a kill, and what it needs no more."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.platforms.conftest import GREETER
from tests.rig import places
from tests.rig.cluster import ask, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.places import OnThisMachine

SECRETIVE = '''
import os

class Secretive:
    """Tells what it was given."""

    example = {}

    def predict(self) -> list:
        return [os.environ.get("TOKEN"), os.environ.get("PLAIN"), os.environ.get("DEPLOYER")]
'''
STARTER = GREETER.replace("    def predict", "    def load(self):\n        pass\n\n    def predict")


@pytest.fixture(scope="module")
def here(machine: Path) -> Iterator[OnThisMachine]:
    """A namespace of this machine, whatever other platforms are tested."""
    with places.on_this_machine(machine) as found:
        yield found


def test_an_event_that_nobody_takes_is_told_with_what_subscribes(
    here: OnThisMachine, tmp_path: Path
) -> None:
    taken = {"subscriptions": [{"filters": [{"prefix": {"type": "order."}}]}]}
    project = here.project(tmp_path / "orders", GREETER, events=taken)
    here.mlfunc("deploy", "--path", project)

    lost = here.mlfunc("emit", "--type", "order placed")
    found = here.mlfunc("emit", "--type", "order.made", "-o", "json")

    where = f"--namespace {here.namespace}"
    assert f"nobody takes it: mlfunc subscribe NAME --type 'order placed' {where}\n" in lost.err
    assert "nobody takes it" not in found.err


def test_its_url_is_one_that_any_program_reaches(here: OnThisMachine, tmp_path: Path) -> None:
    """Python's resolver knows no names under localhost."""
    project = here.project(tmp_path / "reached", GREETER)

    told = here.mlfunc("deploy", "--path", project, "-o", "json").data
    shown = here.mlfunc("deploy", "--path", project)

    headers = {"content-type": "application/json"}
    with urlopen(Request(told["url"], b'{"name": "Ada"}', headers)) as reply:
        assert json.load(reply) == "Hello Ada"
    assert shown.out == f"{told['url']}\n"
    by_host = f"http://reached.{here.namespace}.localhost:{urlsplit(told['url']).port}"
    routes = here.mlfunc("describe", "--path", project, "-o", "json").data["routes"]
    assert routes == [told["url"], by_host]


def test_what_is_deployed_outlives_a_kill_with_its_traffic(
    here: OnThisMachine, tmp_path: Path
) -> None:
    project = here.project(tmp_path / "kept", GREETER)
    here.mlfunc("deploy", "--path", project)
    here.project(project, GREETER.replace("Hello", "Goodbye"))
    here.mlfunc("deploy", "--path", project, "--tag", "canary")
    here.mlfunc("rollback", "--path", project)
    before = here.mlfunc("describe", "--path", project, "-o", "json").data

    gone = _kill(here)

    # The first command that needs it starts it again.
    after = here.mlfunc("describe", "--path", project, "-o", "json").data
    assert _status(here)["pid"] != gone["pid"]
    assert _status(here)["gateway"] == gone["gateway"]
    stays = ("url", "routes", "image", "traffic", "ready")
    assert {key: after[key] for key in stays} == {key: before[key] for key in stays}
    assert here.request("kept", {"name": "Ada"}).json() == "Hello Ada"
    assert here.request("kept", {"name": "Ada"}, tag="canary").json() == "Goodbye Ada"
    assert not here.mlfunc("deploy", "--path", project, "-o", "json").data["new_revision"]


def test_a_value_of_a_secret_is_the_deployer_s_and_is_kept(
    here: OnThisMachine, tmp_path: Path
) -> None:
    env = {"TOKEN": {"secret": "hub", "key": "token"}, "PLAIN": "text"}
    project = here.project(tmp_path / "secretive", SECRETIVE, env=env)

    refused = here.mlfunc("deploy", "--path", project, code=2)
    with_token = places.OnThisMachine(here.namespace, here.home, variables={"TOKEN": "s3cret"})
    with_token.mlfunc("deploy", "--path", project)
    here.project(project, SECRETIVE, env={**env, "MORE": "1"})
    here.mlfunc("deploy", "--path", project)

    assert "TOKEN has no value" in refused.err
    assert "TOKEN=... mlfunc deploy" in refused.err
    assert here.request("secretive", {}).json() == ["s3cret", "text", None]
    assert "s3cret" not in here.mlfunc("describe", "--path", project, "-o", "json").out


def test_a_release_is_what_was_deployed_whatever_becomes_of_the_folder(
    here: OnThisMachine, tmp_path: Path
) -> None:
    project = here.project(tmp_path / "moved", GREETER)
    here.mlfunc("deploy", "--path", project)
    (project / "predictor.py").write_text("raise SystemExit")
    project.rename(tmp_path / "elsewhere")

    # No instance outlives it.
    _kill(here)

    here.mlfunc("platform", "start")
    assert here.request("moved", {"name": "Ada"}).json() == "Hello Ada"


def test_a_function_is_reached_by_path_and_by_host(here: OnThisMachine, tmp_path: Path) -> None:
    here.mlfunc("deploy", "--path", here.project(tmp_path / "reached", GREETER))
    url = f"{here.gateway}/reached.{here.namespace}"

    assert ask(url, "127.0.0.1", {"name": "Ada"}).json() == "Hello Ada"
    assert json.loads(ask(f"{url}/openapi.json", "127.0.0.1").data)["info"]["title"] == "reached"
    assert ask(f"{here.gateway}/missing.{here.namespace}", "127.0.0.1", {}).status == 404


def test_several_first_deployments_at_once_share_one_platform(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with places.on_this_machine(home) as fresh:
        projects = [fresh.project(tmp_path / f"f{number}", STARTER) for number in range(3)]
        try:
            with ThreadPoolExecutor(len(projects)) as pool:
                list(pool.map(lambda each: fresh.mlfunc("deploy", "--path", each), projects))
            found = _status(fresh)
            assert (found["functions"], found["events_waiting"]) == (3, 0)
            for each in projects:
                assert fresh.request(each.name, {"name": "Ada"}).json() == "Hello Ada"
        finally:
            fresh.mlfunc("platform", "stop")


def _status(here: OnThisMachine) -> Any:
    return here.mlfunc("platform", "status", "-o", "json").data


def _kill(here: OnThisMachine) -> Any:
    """As nothing could be told of it; what it was."""
    about = _status(here)
    os.kill(about["pid"], signal.SIGKILL)
    eventually(lambda: here.mlfunc("platform", "status", code=None).code == 5, "it is gone")
    return about


def test_a_broker_that_is_not_there_is_made_by_mlfunc_yaml_and_nobody_is_sent_to_kn(
    here: OnThisMachine, tmp_path: Path
) -> None:
    project = here.project(tmp_path / "invoiced", GREETER)
    here.mlfunc("deploy", "--path", project)
    of_billing = ("--type", "invoice", "--broker", "billing")

    for command in (("emit",), ("subscribe", "invoiced")):
        assert "events.subscriptions" in here.mlfunc(*command, *of_billing, code=5).err

    here.project(
        project,
        GREETER,
        events={"subscriptions": [{"broker": "billing", "filter": {"type": "invoice"}}]},
    )
    here.mlfunc("deploy", "--path", project)
    here.mlfunc("emit", *of_billing, "--data", '{"name": "Ada"}')
