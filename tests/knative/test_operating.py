"""The commands for what is deployed: what only a cluster has of containers, ingresses and volumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.knative.conftest import GREETER
from tests.rig import cluster as rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.cluster import Cluster

BROKEN = GREETER.replace("    def predict", "    def load(self):\n        1 / 0\n\n    def predict")
_BROKER = {
    "apiVersion": "eventing.knative.dev/v1",
    "kind": "Broker",
    "metadata": {"name": "default"},
}


@pytest.fixture(scope="module")
def failing(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function that serves, and whose newest revision does not start."""
    project = shared.project(tmp_path_factory.mktemp("work") / "failing", GREETER)
    shared.mlfunc("deploy", "--path", project)
    shared.project(project, BROKEN)
    shared.mlfunc("deploy", "--path", project, code=7)
    return project


def test_what_a_container_said_before_it_ended_is_read_and_what_others_of_its_pod_say(
    shared: Cluster, failing: Path
) -> None:
    at = ("logs", "--path", failing)

    def read() -> bool:
        return "ZeroDivisionError" in shared.mlfunc(*at, "--previous").out

    rig.eventually(read, "a container has ended, and the kubelet has its log", seconds=90)
    assert "queueproxy" in shared.mlfunc(*at, "--container", "queue-proxy").out


@pytest.mark.usefixtures("failing")
def test_the_ingress_that_an_option_names_is_asked(
    shared: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("invoke", "failing", "--namespace", shared.namespace)
    monkeypatch.setenv("MLFUNC_INGRESS", "http://127.0.0.1:9")

    assert "127.0.0.1:9" in shared.mlfunc(*command, code=5).err
    answered = shared.mlfunc(*command, "--ingress", shared.ingress)
    assert json.loads(answered.out) == "Hello Ada"


def test_an_empty_namespace_tells_how_to_fill_it(cluster: Cluster) -> None:
    listed = cluster.mlfunc("list", "-n", cluster.namespace)

    assert listed.out == ""
    assert "mlfunc deploy" in listed.err
    assert cluster.mlfunc("list", "-n", cluster.namespace, "-o", "json").data == []


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


def _claim(name: str, function: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"mlfunc.dev/function": function}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
