"""The commands for what is deployed, on a real cluster: each says what is, and does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.knative.conftest import GREETER
from tests.rig import cluster as rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rig.cluster import Cluster

HOOKED = '''
import logging
import sys
import time

class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        print("predicting for", name, file=sys.stderr)
        return f"Hello {name}"

    def after_response(self, result, request):
        time.sleep(0.3)
        logging.getLogger("greeter").warning("told the friends of %s", result)
'''
BROKEN = GREETER.replace("    def predict", "    def load(self):\n        1 / 0\n\n    def predict")
_QUICK = {"scale": {"window": "6s", "retention": "0s"}}


@pytest.fixture(scope="module")
def greeter(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function of two revisions; the second says Goodbye."""
    project = shared.project(tmp_path_factory.mktemp("work") / "greeter", HOOKED)
    shared.mlfunc("deploy", "--path", project)
    shared.project(project, HOOKED.replace("Hello", "Goodbye"))
    shared.mlfunc("deploy", "--path", project)
    return project


@pytest.fixture
def promoted(shared: Cluster, greeter: Path) -> Iterator[Path]:
    """The same, whose newest revision gets all requests before and after."""
    yield greeter
    shared.mlfunc("traffic", "--path", greeter, "--promote")


def test_the_list_tells_what_is_there_in_the_keys_of_func(shared: Cluster, greeter: Path) -> None:
    where = ("-n", shared.namespace)

    (listed,) = shared.mlfunc("list", *where, "-o", "json").data
    shown = shared.mlfunc("list", *where).out

    assert listed["name"] == "greeter"
    assert (listed["ready"], listed["deployer"], listed["runtime"]) == ("True", "knative", "python")
    assert (listed["revision"], listed["concurrency"]) == ("greeter-00002", 64)
    assert listed["url"].endswith(f"{shared.host('greeter')}")
    assert shown.splitlines()[0].split()[:4] == ["NAME", "NAMESPACE", "READY", "REVISION"]
    assert "greeter-00002" in shown
    everywhere = shared.mlfunc("list", "-A", "-o", "json").data
    assert ("greeter", shared.namespace) in {
        (each["name"], each["namespace"]) for each in everywhere
    }


def test_an_empty_namespace_tells_how_to_fill_it(cluster: Cluster) -> None:
    listed = cluster.mlfunc("list", "-n", cluster.namespace)

    assert listed.out == ""
    assert "mlfunc deploy" in listed.err
    assert cluster.mlfunc("list", "-n", cluster.namespace, "-o", "json").data == []


def test_a_function_is_described_with_its_revisions_and_its_start(
    shared: Cluster, greeter: Path, figure: Callable[[str], None]
) -> None:
    shared.mlfunc("invoke", "--path", greeter)

    told = shared.mlfunc("describe", "--path", greeter, "-o", "json").data

    assert [each["name"] for each in told["revisions"]] == ["greeter-00002", "greeter-00001"]
    assert [each["percent"] for each in told["revisions"]] == [100, 0]
    assert "@sha256:" in told["image"]
    assert told["scaling"]["max_scale"] == "10"
    assert told["timeouts"]["request_seconds"] >= 60
    assert told["start"]["runtime"]["total"] > 0
    assert told["changed_by"] == []
    figure(f"start: {told['start']['starting']:.0f} s outside, {told['start']['runtime']}")
    shown = shared.mlfunc("describe", "--path", greeter).out
    assert "cold start" in shown


def test_what_does_not_become_ready_is_described_in_words(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "broken", BROKEN)
    cluster.mlfunc("deploy", "--path", project, code=7)

    def described() -> Any:
        told = cluster.mlfunc("describe", "--path", project, "-o", "json").data
        return told if told["ready"] == "False" else None

    told = rig.eventually(described, "Knative says that it is not ready", seconds=120)

    reasons = json.dumps(told["not_ready"]) + told["revisions"][0]["message"]
    assert "the function does not start: load raised ZeroDivisionError" in reasons
    (listed,) = cluster.mlfunc("list", "-n", cluster.namespace, "-o", "json").data
    assert listed["ready"] == "False"
    assert listed["reason"]


def test_an_unknown_name_gets_the_likely_one(shared: Cluster, greeter: Path) -> None:
    for command in ("describe", "logs", "invoke", "delete", "traffic", "rollback"):
        option = "--namespace" if command == "invoke" else "-n"
        refused = shared.mlfunc(command, "gretter", option, shared.namespace, code=5)
        assert "did you mean greeter?" in refused.err


def test_logs_show_all_pods_with_hooks(shared: Cluster, greeter: Path) -> None:
    shared.mlfunc("invoke", "--path", greeter, "--data", '{"name": "Grace"}')

    def said() -> str:
        out = shared.mlfunc("logs", "--path", greeter).out
        return out if "told the friends of Goodbye Grace" in out else ""

    shown = rig.eventually(said, "the hook's line is there")
    records = shared.mlfunc("logs", "--path", greeter, "-o", "json").out.splitlines()

    assert "predicting for Grace" in shown
    assert '{"time"' not in shown
    told = [json.loads(line) for line in records]
    assert any(each.get("record", {}).get("phase") == "ready" for each in told)
    assert any(each.get("text") == "predicting for Grace" for each in told)
    assert {each["revision"] for each in told} == {"greeter-00002"}
    last = shared.mlfunc("logs", "--path", greeter, "--tail", "1", "-o", "json").out.splitlines()
    assert len(last) == len({each["pod"] for each in told})
    proxy = shared.mlfunc("logs", "--path", greeter, "--container", "queue-proxy")
    assert "queueproxy" in proxy.out
    assert (
        "scaled to zero"
        in shared.mlfunc("logs", "--path", greeter, "--revision", "greeter-00001").err
    )


def test_logs_are_followed_from_no_pod_to_the_end_of_the_last(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", HOOKED, **_QUICK)
    cluster.mlfunc("deploy", "--path", project)
    rig.eventually(lambda: not cluster.pods("greeter"), "it is scaled to zero", seconds=90)
    follower = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlfunc")), "logs", "-f", "--path", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert follower.stdout is not None
        assert "waiting for an instance" in follower.stdout.readline()
        assert cluster.request("greeter", {"name": "Grace"}).status == 200
        cluster.kubectl("delete", "pods", "--all", "--wait=false")
        wanted = ["ready after", "predicting for Grace", "told the friends", "draining", "stopped"]
        until = time.monotonic() + 90
        while wanted and time.monotonic() < until:
            line = follower.stdout.readline()
            wanted = [each for each in wanted if each not in line]
        assert not wanted
    finally:
        follower.kill()
        follower.communicate()


def test_what_crashed_before_is_read_with_previous(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "broken", BROKEN)
    cluster.mlfunc("deploy", "--path", project, "--no-wait")

    def read() -> str:
        return cluster.mlfunc("logs", "--path", project, "--previous").out

    shown = rig.eventually(read, "a container has ended", seconds=90)

    assert "ZeroDivisionError" in shown


def test_a_function_is_invoked_by_its_name(
    shared: Cluster, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--namespace", shared.namespace)
    shared.mlfunc("traffic", "--path", promoted, "--tag", "old=greeter-00001")

    answered = shared.mlfunc("invoke", "greeter", *where)
    tagged = shared.mlfunc("invoke", "greeter", *where, "--tag", "old", "--data", '{"name": "Bo"}')
    event = shared.mlfunc("invoke", "greeter", *where, "--event", "-o", "json").data
    many = shared.mlfunc("invoke", "greeter", *where, "-n", "40", "-c", "4", "-o", "json").data

    assert json.loads(answered.out) == "Goodbye Ada"
    assert json.loads(tagged.out) == "Hello Bo"
    assert event["event"]["type"] == "dev.mlfunc.greeter.result"
    assert (many["requests"], many["errors"]) == (40, {})
    assert (
        "no revision with the tag new"
        in shared.mlfunc("invoke", "greeter", *where, "--tag", "new", code=5).err
    )
    # Without being told, it finds where the cluster takes requests, if there is such a place.
    monkeypatch.setenv("MLFUNC_INGRESS", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in shared.mlfunc("invoke", "greeter", *where, code=5).err
    told = ("--ingress", shared.ingress)
    assert json.loads(shared.mlfunc("invoke", "greeter", *where, *told).out) == "Goodbye Ada"
    shared.mlfunc("traffic", "--path", promoted, "--untag", "old")


def test_a_cold_start_is_waited_for_and_shown(
    cluster: Cluster, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER, **_QUICK)
    cluster.mlfunc("deploy", "--path", project)
    rig.eventually(lambda: not cluster.pods("greeter"), "it is scaled to zero", seconds=90)
    began = time.monotonic()

    answered = cluster.mlfunc("invoke", "--path", project, "-v")

    figure(f"cold start, seen by the command: {time.monotonic() - began:.2f} s")
    assert json.loads(answered.out) == "Hello Ada"
    assert "waiting for an instance of greeter-00001" in answered.err
    assert "cold start  scheduling" in answered.err


def test_traffic_is_split_tagged_and_promoted(shared: Cluster, promoted: Path) -> None:
    at = ("traffic", "--path", promoted)

    split = shared.mlfunc(*at, "greeter-00001=100", "--tag", "canary=latest", "-o", "json").data

    assert [(each["revision"], each["percent"], each["tag"]) for each in split["traffic"]] == [
        ("greeter-00001", 100, None),
        ("greeter-00002", 0, "canary"),
    ]
    assert shared.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    assert "sum up to 30, not to 100" in shared.mlfunc(*at, "canary=30", code=2).err
    assert "did you mean greeter-00001?" in shared.mlfunc(*at, "greeter-0001=100", code=5).err
    shared.mlfunc(*at, "--promote", "--untag", "canary")
    assert shared.mlfunc(*at, "-o", "json").data["traffic"] == [
        {"revision": "greeter-00002", "percent": 100, "follows": True, "tag": None, "url": None}
    ]
    assert shared.request("greeter", {"name": "Ada"}).json() == "Goodbye Ada"


def test_traffic_to_what_is_not_ready_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    cluster.project(project, BROKEN)
    cluster.mlfunc("deploy", "--path", project, code=7)

    refused = cluster.mlfunc("traffic", "--path", project, "greeter-00002=100", code=7)

    assert "greeter-00002 is not ready" in refused.err
    assert cluster.request("greeter", {"name": "Ada"}).json() == "Hello Ada"


def test_a_rollback_holds_until_something_new_is_deployed(shared: Cluster, promoted: Path) -> None:
    at = ("--path", promoted)

    back = shared.mlfunc("rollback", *at, "-o", "json").data

    assert (back["revision"], back["before"]) == ("greeter-00001", ["greeter-00002"])
    assert shared.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    shared.mlfunc("deploy", *at)
    assert shared.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    assert "--to greeter-00002" in shared.mlfunc("rollback", *at, code=5).err
    shared.mlfunc("rollback", *at, "--to", "greeter-00002")
    assert shared.request("greeter", {"name": "Ada"}).json() == "Goodbye Ada"


def test_deleting_says_what_goes_and_keeps_models_unless_told(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER, events={"subscriptions": [{}]})
    cluster.mlfunc("deploy", "--path", project, "--no-wait")
    rig.eventually(lambda: cluster.get("triggers"), "its trigger is there")
    cluster.apply(_claim("weights", "greeter"))
    trigger = cluster.get("triggers")[0]["metadata"]["name"]
    at = ("delete", "--path", project)

    asked = cluster.mlfunc(*at, code=2)
    assert "--yes" in asked.err
    assert cluster.get("ksvc")
    gone = cluster.mlfunc(*at, "--yes")

    assert f"- Trigger {trigger}" in gone.err
    assert "PersistentVolumeClaim weights stays" in gone.err
    assert (cluster.get("ksvc"), cluster.get("triggers"), cluster.get("pods")) == ([], [], [])
    assert [each["metadata"]["name"] for each in cluster.get("pvc")] == ["weights"]
    assert "there is no function greeter" in cluster.mlfunc(*at, "--yes", code=5).err
    cluster.mlfunc("deploy", "--path", project, "--no-wait")
    removed = cluster.mlfunc(*at, "--yes", "--models", "-o", "json").data
    assert removed["claims"] == ["weights"]
    assert cluster.get("pvc") == []


def _claim(name: str, function: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"mlfunc.dev/function": function}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
