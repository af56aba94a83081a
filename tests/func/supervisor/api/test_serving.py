"""The API as the client of commands uses it, over a socket."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import follower, kinds, watching
from mlfunc.cluster.failures import Absent, Conflict, Forbidden
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed

from tests.rig import localapi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
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

    with pytest.raises(ClusterFailed, match=r"the local platform refuses: 3 complaints") as raised:
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


def test_a_watch_that_was_away_for_too_long_lists_again(
    running: Running, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_BACKOFF_SECONDS", (0.005, 0.05))
    cluster.apply(service("a"))

    with cluster.lines(kinds.SERVICE.path(), {"watch": "true", "resourceVersion": "1"}) as lines:
        expected = running.do(lambda: running.objects.since(1))
        assert [json.loads(next(iter(lines)))["type"]] == [expected[0].happening]
    with cluster.lines(kinds.SERVICE.path(), {"watch": "true", "resourceVersion": "99"}) as lines:
        assert json.loads(next(iter(lines)))["object"]["reason"] == "Expired"

    asked = cluster.fetch
    stale = iter(["99"])  # as if it had been listed before the supervisor began anew

    def fetch(path: str, query: Any = None) -> Object:
        found = asked(path, query)
        found["metadata"]["resourceVersion"] = next(stale, found["metadata"]["resourceVersion"])
        return found

    monkeypatch.setattr(cluster, "fetch", fetch)
    with watching.follow(cluster, Topic(kinds.SERVICE)) as changes:
        assert seen(changes) == ["a"]
        # Told by the second list or by the watch after it: the first knows no way to go on.
        cluster.apply(service("b"))
        assert seen(changes) == ["a", "b"]


def test_a_watch_outlives_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_BACKOFF_SECONDS", (0.005, 0.05))
    changes: watching.Changes | None = None
    with contextlib.ExitStack() as following:
        for number, name in enumerate("abc"):
            with localapi.serving(tmp_path, state=tmp_path / "state.db") as running:
                cluster = running.cluster()
                if changes is None:
                    changes = following.enter_context(
                        watching.follow(cluster, Topic(kinds.SERVICE))
                    )
                    assert seen(changes) == []
                cluster.apply(service(name))
                while seen(changes) != list("abc"[: number + 1]):
                    pass


def test_a_merge_patch_changes_what_it_names(cluster: Cluster) -> None:
    cluster.apply(service(app="x"))
    change = {"metadata": {"labels": {"app": None, "more": "y"}}, "status": {"forged": True}}

    changed = cluster.patch(kinds.SERVICE, "greeter", change)

    assert changed["metadata"]["labels"] == {"more": "y"}
    assert "status" not in changed
    assert changed["spec"] == cluster.apply(service(), dry_run=True)["spec"]
    with pytest.raises(Absent, match=r'services.serving.knative.dev "nosuch" not found'):
        cluster.patch(kinds.SERVICE, "nosuch", change)


def test_what_is_made_twice_is_there_already(cluster: Cluster) -> None:
    path = kinds.SECRET.path("default")
    secret = {"metadata": {"name": "token"}, "stringData": {"key": "value"}}

    made = cluster.post(path, secret)

    assert made["kind"] == "Secret"
    assert made["data"] == {"key": "dmFsdWU="}
    with pytest.raises(ClusterFailed, match='secrets "token" already exists'):
        cluster.post(path, secret)


def test_whoever_means_another_object_changes_nothing(cluster: Cluster) -> None:
    live = cluster.apply(service())
    stale = {**service(app="x"), "metadata": {**live["metadata"], "managedFields": []}}
    stale["metadata"]["resourceVersion"] = "1"
    path = kinds.SERVICE.path("default", "greeter")

    with pytest.raises(ClusterFailed, match="the object has been modified"):
        cluster.apply(stale)
    told = cluster.request("DELETE", path, body={"preconditions": {"uid": "another"}})
    assert told.status == 409
    assert cluster.request("DELETE", path, query={"dryRun": "All"}).status == 200
    assert cluster.get(kinds.SERVICE, "greeter") == live
    told = cluster.request("DELETE", path, body={"preconditions": {"uid": live["metadata"]["uid"]}})
    assert told.status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/namespaces/default/pods?labelSelector=a+b+c", None, 400),
        ("GET", "/api/v1/pods?watch=true&resourceVersion=x", None, 400),
        ("GET", "/", None, 404),
        ("PUT", "/api/v1/namespaces/default/configmaps/a", {}, 405),
        ("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}}, 405),
        ("POST", "/api/v1/namespaces/default/configmaps", {}, 400),
        ("POST", "/api/v1/namespaces/default/configmaps", [], 400),
        ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": 1}, 422),
        ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "A"}}, 422),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps",
            {"metadata": {"name": "a", "namespace": "b"}},
            400,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps",
            {"kind": "Pod", "metadata": {"name": "a"}},
            400,
        ),
        ("PATCH", "/api/v1/namespaces/default/configmaps/a", {}, 415),
        ("GET", "/api/v1/namespaces/default/pods/p/exec", None, 404),
    ],
)
def test_what_cannot_be_is_answered_with_a_status(
    cluster: Cluster, method: str, path: str, body: Any, status: int
) -> None:
    told = cluster.request(method, path, body=body)

    assert told.status == status
    assert json.loads(told.data)["kind"] == "Status"
    assert json.loads(told.data)["code"] == status


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (1, "spec: Expected `object | null`, got `int`"),
        ({"template": 1}, "spec.template: Expected `object | null`, got `int`"),
        ({"template": {"spec": []}}, "spec.template.spec: Expected `object | null`, got `array`"),
        ({"traffic": [1]}, "spec.traffic[0]: Expected `object`, got `int`"),
        ({"traffic": [{"percent": "9"}]}, "spec.traffic[0].percent: Expected `int | null`"),
    ],
)
def test_what_is_of_another_shape_is_refused(cluster: Cluster, spec: Any, said: str) -> None:
    with pytest.raises(ClusterFailed, match='Service "greeter" is invalid') as raised:
        cluster.apply({**service(), "spec": spec})

    assert said in raised.value.message
    assert cluster.get(kinds.SERVICE, "greeter") is None


def test_the_log_of_a_pod_is_that_of_who_has_it(tmp_path: Path) -> None:
    async def logs(pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        yield f"{pod['metadata']['name']} {query['tailLines']}\n".encode()

    def of_pod(pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        if "previous" in query:
            raise LookupError('previous terminated container "user-container" not found')
        return logs(pod, query)

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}}
    path = kinds.POD.path("default", "p") + "/log"
    with localapi.serving(tmp_path, logs=of_pod) as running:
        running.do(lambda: running.objects.write(pod))
        cluster = running.cluster()

        with cluster.lines(path, {"tailLines": "3"}) as lines:
            assert list(lines) == [b"p 3\n"]
        with pytest.raises(ClusterFailed, match="previous terminated container"):
            cluster.lines(path, {"previous": "true"})
        with pytest.raises(Absent, match='pods "q" not found'):
            cluster.lines(kinds.POD.path("default", "q") + "/log", {})


def test_where_there_is_no_space_it_is_told_and_nothing_changes(tmp_path: Path) -> None:
    with localapi.serving(tmp_path, state=tmp_path / "state.db") as running:
        cluster = running.cluster()
        running.run(running.opened.bound())
        big = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "x" * 100_000}}

        with pytest.raises(ClusterFailed, match="there is no space left"):
            cluster.apply({**big, "metadata": {"name": "a", "namespace": "default"}})

        assert cluster.get(kinds.CONFIG_MAP, "a") is None
