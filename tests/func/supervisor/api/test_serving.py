"""The API as the client of commands uses it, over a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Absent, Conflict, Forbidden
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed

from tests.rig import localapi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster

    from tests.rig.localapi import Running

Object = dict[str, Any]
IMAGE = "local/greeter@sha256:" + "0" * 64


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with localapi.serving(tmp_path) as found:
        yield found


@pytest.fixture
def cluster(running: Running) -> Cluster:
    return running.cluster()


def service(name: str = "greeter", namespace: str = "default", **labels: str) -> Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"template": {"spec": {"containers": [{"image": IMAGE}]}}},
    }


def test_what_is_applied_is_got_listed_and_deleted(cluster: Cluster) -> None:
    assert cluster.get(kinds.SERVICE, "greeter") is None

    applied = cluster.apply(service(app="x"))

    assert applied["metadata"]["generation"] == 1
    assert applied["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert cluster.get(kinds.SERVICE, "greeter") == applied
    assert cluster.list(kinds.SERVICE, labels="app=x") == [applied]
    assert cluster.list(kinds.SERVICE, labels="app=y") == []
    assert cluster.list(kinds.SERVICE, fields="metadata.name=greeter", everywhere=True) == [applied]
    assert cluster.list(kinds.SERVICE, namespace="shop") == []
    assert cluster.delete(kinds.SERVICE, "greeter")
    assert not cluster.delete(kinds.SERVICE, "greeter")


def test_a_dry_run_says_what_would_be_and_changes_nothing(cluster: Cluster) -> None:
    would = cluster.apply(service(), dry_run=True)
    assert cluster.get(kinds.SERVICE, "greeter") is None
    live = cluster.apply(service())

    after = cluster.apply(service(app="x"), dry_run=True)

    assert would["spec"] == live["spec"]
    assert after["metadata"]["labels"] == {"app": "x"}
    assert cluster.get(kinds.SERVICE, "greeter") == live
    assert cluster.apply(service(), dry_run=True) == live


def test_a_watch_tells_what_happens(running: Running, cluster: Cluster) -> None:
    with watching.follow(cluster, Topic(kinds.SERVICE, labels="app=x")) as changes:
        assert seen(changes) == []
        cluster.apply(service("a", app="x"))
        assert seen(changes) == ["a"]
        cluster.apply(service("b", app="y"))
        cluster.apply(service("c", app="x"))
        assert seen(changes) == ["a", "c"]
        cluster.apply(service("a", app="y"))
        assert seen(changes) == ["c"], "what is selected no more is gone"
        cluster.delete(kinds.SERVICE, "c")
        assert seen(changes) == []


def seen(changes: watching.Changes) -> list[str]:
    found = changes.next(5)
    assert found is not None, "nothing was seen in time"
    return [each["metadata"]["name"] for each in found.objects]


def test_fields_of_others_are_a_conflict_unless_forced(cluster: Cluster) -> None:
    cluster.apply(service())
    routed = {**service(), "spec": {"traffic": [{"revisionName": "greeter-00001", "percent": 100}]}}
    cluster.apply(routed, manager="mlfunc-traffic", force=True)
    mine = service()
    mine["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]

    with pytest.raises(Conflict) as raised:
        cluster.apply(mine)
    forced = cluster.apply(mine, force=True)

    assert raised.value.fields == (("spec.traffic", "mlfunc-traffic"),)
    assert forced["spec"]["traffic"] == mine["spec"]["traffic"]


def test_what_knative_would_refuse_is_refused_and_nothing_changes(cluster: Cluster) -> None:
    wrong = service()
    wrong["spec"]["template"]["spec"] = {"containers": [{}], "containerConcurrency": 5000}
    wrong["spec"]["traffic"] = [{"latestRevision": True, "percent": 90}]

    with pytest.raises(ClusterFailed, match="the local platform refuses: 3 complaints") as raised:
        cluster.apply(wrong)

    assert raised.value.evidence.splitlines() == [
        "Traffic targets sum to 90, want 100: spec.traffic",
        "expected 0 <= 5000 <= 1000: spec.template.spec.containerConcurrency",
        "missing field(s): spec.template.spec.containers[0].image",
    ]
    assert cluster.get(kinds.SERVICE, "greeter") is None


def test_what_nobody_made_can_be_read_and_not_changed(cluster: Cluster) -> None:
    (node,) = cluster.list(kinds.NODE)
    controller = cluster.get(kinds.DEPLOYMENT, "controller", namespace="knative-serving")

    assert int(node["status"]["allocatable"]["cpu"]) > 0
    assert controller is not None
    assert controller["metadata"]["labels"]["app.kubernetes.io/version"] == "1.21.0"
    assert cluster.request("GET", "/api/v1/namespaces/shop").status == 200
    assert cluster.request("GET", "/apis/karpenter.sh").status == 404
    with pytest.raises(Forbidden):
        cluster.delete(kinds.DEPLOYMENT, "controller", namespace="knative-serving")
    with pytest.raises(Absent):
        cluster.fetch("/apis/nosuch.dev/v1/things")


def test_a_namespace_has_a_broker_once_somebody_asks(running: Running, cluster: Cluster) -> None:
    cluster.apply(service(namespace="shop"))

    made = running.do(lambda: running.objects.get(kinds.BROKER, "shop", "default"))
    asked = cluster.get(kinds.BROKER, "default")

    assert made["status"]["address"]["url"] == f"{localapi.GATEWAY}/-/broker/shop/default"
    assert asked is not None
    assert asked["status"]["conditions"][-1]["type"] == "Ready"
