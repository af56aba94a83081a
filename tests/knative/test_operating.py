"""The commands for what is deployed, on a real cluster: each says what is, and does what it says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
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
_BROKER = {
    "apiVersion": "eventing.knative.dev/v1",
    "kind": "Broker",
    "metadata": {"name": "default"},
}
_QUICK = {"scale": {"window": "6s", "retention": "0s"}}


@pytest.fixture(scope="module")
def greeter(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function of two revisions; the second says Goodbye."""
    project = shared.project(tmp_path_factory.mktemp("work") / "greeter", HOOKED)
    shared.mlfunc("deploy", "--path", project)
    shared.project(project, HOOKED.replace("Hello", "Goodbye"))
    shared.mlfunc("deploy", "--path", project)
    return project


@pytest.fixture(scope="module")
def failing(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function that serves, and whose newest revision does not start."""
    project = shared.project(tmp_path_factory.mktemp("work") / "failing", GREETER)
    shared.mlfunc("deploy", "--path", project)
    shared.project(project, BROKEN)
    shared.mlfunc("deploy", "--path", project, code=7)
    return project


@pytest.fixture
def promoted(shared: Cluster, greeter: Path) -> Iterator[Path]:
    """The same, whose newest revision gets all requests before and after."""
    yield greeter
    shared.mlfunc("traffic", "--path", greeter, "--promote")


def test_the_list_tells_what_is_there_in_the_keys_of_func(shared: Cluster, greeter: Path) -> None:
    where = ("-n", shared.namespace)

    found = shared.mlfunc("list", *where, "-o", "json").data
    listed = next(each for each in found if each["name"] == "greeter")
    shown = shared.mlfunc("list", *where).out

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


def test_a_revision_that_does_not_start_is_described_in_words(
    shared: Cluster, failing: Path
) -> None:
    told = shared.mlfunc("describe", "--path", failing, "-o", "json").data

    assert told["reason"] == "failed"
    assert "the function does not start: load raised ZeroDivisionError" in told["message"]
    assert [each["percent"] for each in told["revisions"]] == [0, 100]
    listed = shared.mlfunc("list", "-n", shared.namespace)
    assert "failed" in listed.out
    assert "load raised ZeroDivisionError" in listed.err


def test_a_revision_that_does_not_start_gets_no_requests(shared: Cluster, failing: Path) -> None:
    refused = shared.mlfunc("traffic", "--path", failing, "failing-00002=100", code=7)

    assert "failing-00002 is not ready" in refused.err
    assert shared.request("failing", {"name": "Ada"}).json() == "Hello Ada"


def test_what_a_container_said_before_it_ended_is_read(shared: Cluster, failing: Path) -> None:
    def read() -> bool:
        said = shared.mlfunc("logs", "--path", failing, "--previous").out
        return "ZeroDivisionError" in said

    rig.eventually(read, "a container has ended, and the kubelet has its log", seconds=90)


def test_logs_show_all_pods_with_hooks(shared: Cluster, greeter: Path) -> None:
    shared.mlfunc("invoke", "--path", greeter, "--data", '{"name": "Grace"}')

    def said() -> str:
        out = shared.mlfunc("logs", "--path", greeter).out
        return out if "told the friends of Goodbye Grace" in out else ""

    shown = rig.eventually(said, "the hook's line is there")
    newest = ("logs", "--path", greeter, "--revision", "greeter-00002")
    records = shared.mlfunc(*newest, "-o", "json").out.splitlines()

    assert "predicting for Grace" in shown
    assert '{"time"' not in shown
    told = [json.loads(line) for line in records]
    assert any(each.get("record", {}).get("phase") == "ready" for each in told)
    assert any(each.get("text") == "predicting for Grace" for each in told)
    assert {each["revision"] for each in told} == {"greeter-00002"}
    last = shared.mlfunc(*newest, "--tail", "1", "-o", "json").out.splitlines()
    assert len(last) == len({each["pod"] for each in told})
    assert "queueproxy" in shared.mlfunc(*newest, "--container", "queue-proxy").out


def test_a_cold_start_is_waited_for_and_shown_and_logs_are_followed_to_the_end(
    cluster: Cluster, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    project = cluster.project(tmp_path / "greeter", HOOKED, **_QUICK)
    cluster.mlfunc("deploy", "--path", project)
    rig.eventually(lambda: not _staying(cluster), "it is scaled to zero", seconds=90)
    with _follower(project) as said:
        assert "waiting for an instance" in next(said)
        began = time.monotonic()

        answered = cluster.mlfunc("invoke", "--path", project, "-v")

        figure(f"cold start, seen by the command: {time.monotonic() - began:.2f} s")
        assert json.loads(answered.out) == "Hello Ada"
        assert "waiting for an instance of greeter-00001" in answered.err
        assert "cold start  scheduling" in answered.err
        cluster.kubectl("delete", "pods", "--all", "--wait=false")
        _expect(said, "ready after", "predicting for Ada", "told the friends", "stopped")


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


def test_deleting_says_what_goes_and_keeps_models_unless_told(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(
        tmp_path / "greeter",
        GREETER,
        events={"subscriptions": [{"filter": {"type": "com.example.asked"}}]},
    )
    cluster.apply(_BROKER, _claim("weights", "greeter"))
    cluster.mlfunc("deploy", "--path", project, "--no-wait")
    trigger = cluster.get("triggers")[0]["metadata"]["name"]
    at = ("delete", "--path", project)

    asked = cluster.mlfunc(*at, code=2)
    assert "--yes" in asked.err
    assert f"- Trigger {trigger}" in asked.err
    assert "PersistentVolumeClaim weights stays" in asked.err
    assert cluster.get("ksvc")

    removed = cluster.mlfunc(*at, "--yes", "--models", "-o", "json").data

    assert (removed["triggers"], removed["claims"]) == ([trigger], ["weights"])
    for kind in ("ksvc", "triggers", "pods", "pvc"):
        assert cluster.get(kind) == []
    assert "there is no function greeter" in cluster.mlfunc(*at, "--yes", code=5).err


@contextlib.contextmanager
def _follower(project: Path) -> Iterator[Iterator[str]]:
    """What `mlfunc logs -f` prints, line by line."""
    mlfunc = Path(sys.executable).with_name("mlfunc")
    follower = subprocess.Popen(
        [mlfunc, "logs", "-f", "--path", project],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert follower.stdout is not None
    # A test that waits in vain ends all the same.
    killer = threading.Timer(120, follower.kill)
    killer.start()
    try:
        yield iter(follower.stdout)
    finally:
        killer.cancel()
        follower.kill()
        follower.communicate()


def _expect(said: Iterator[str], *wanted: str) -> None:
    """All these, in this order, among other lines."""
    for each in wanted:
        assert any(each in line for line in said), f"it ended without: {each}"


def _staying(cluster: Cluster) -> list[Any]:
    pods = cluster.pods("greeter")
    return [each for each in pods if "deletionTimestamp" not in each["metadata"]]


def _claim(name: str, function: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"mlfunc.dev/function": function}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
