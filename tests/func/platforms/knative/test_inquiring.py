"""What is asked of a cluster before a push, and what is made of silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import function
from mlfunc.cluster import client
from mlfunc.errors import ClusterFailed
from mlfunc.knative.facts import Installed
from mlfunc.platforms.knative import inquiring

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster

    from tests.rig.apiserver import Asked

FORBIDDEN = apiserver.status(403, "Forbidden", "no")
SERVING = "/apis/apps/v1/namespaces/knative-serving/deployments/controller"
FEATURES = "/api/v1/namespaces/knative-serving/configmaps/config-features"
AUTOSCALER = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"
SECRET = "/api/v1/namespaces/team/secrets/tokens"
GREETER = function.parse(b"name: greeter\nenv: {TOKEN: {secret: tokens, key: token}}")
NODE: dict[str, Any] = {
    "metadata": {"name": "n1"},
    "spec": {},
    "status": {"allocatable": {"cpu": "8", "memory": "32Gi"}},
}


@pytest.fixture
def has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the cluster has at each path; under "*", what it says of all others."""
    found: dict[str, Any] = {}

    def answer(asked: Asked) -> Reply:
        name = asked.path.rpartition("/")[2]
        absent = apiserver.status(404, "NotFound", "not found", name=name)
        told = found.get(asked.path, found.get("*", absent))
        return told if isinstance(told, Reply) else Reply(body=told)

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        yield found


@pytest.fixture
def cluster(has: dict[str, Any]) -> Cluster:
    return client.connect()


def test_nothing_is_known_of_a_cluster_that_shows_nothing(
    has: dict[str, Any], cluster: Cluster
) -> None:
    has["*"] = FORBIDDEN

    facts = inquiring.inquire(cluster, GREETER)

    assert (facts.context, facts.namespace) == ("loopback", "team")
    assert (facts.has_namespace, facts.serving, facts.features, facts.nodes) == (None,) * 4
    assert facts.named == {}
    assert inquiring.check(cluster, GREETER) == ()


def test_what_is_not_there_is_known(has: dict[str, Any], cluster: Cluster) -> None:
    facts = inquiring.inquire(cluster, GREETER)

    assert facts.has_namespace is False
    assert facts.serving == Installed(there=False)
    assert facts.features is None
    assert list(facts.named.values()) == [None]
    assert not facts.adds_nodes


def test_what_is_there_is_known(has: dict[str, Any], cluster: Cluster) -> None:
    labels = {"app.kubernetes.io/version": "1.23.0"}
    has["/apis/serving.knative.dev/v1"] = {}
    has[SERVING] = {"metadata": {"labels": labels}}
    has[FEATURES] = {"data": {"a": "enabled"}}
    has["/api/v1/nodes"] = {"items": [NODE]}

    facts = inquiring.inquire(cluster, GREETER)

    assert facts.serving == Installed(there=True, version="1.23.0")
    assert facts.features == {"a": "enabled"}
    assert facts.nodes is not None
    assert facts.nodes[0]["metadata"]["name"] == "n1"


def test_of_a_secret_only_the_keys_are_kept(has: dict[str, Any], cluster: Cluster) -> None:
    has[SECRET] = {"metadata": {"name": "tokens"}, "data": {"token": "c2VzYW1l"}}

    facts = inquiring.inquire(cluster, GREETER)

    assert list(facts.named.values()) == [frozenset({"token"})]
    assert "c2VzYW1l" not in repr(facts)


@pytest.mark.parametrize(
    ("path", "reply", "adds"),
    [
        ("/none", {}, False),
        ("/apis/karpenter.sh", {}, True),
        (AUTOSCALER, {}, True),
        (AUTOSCALER, FORBIDDEN, True),
    ],
)
def test_a_cluster_adds_nodes_if_it_has_what_does_or_hides_whether_it_has(
    has: dict[str, Any], cluster: Cluster, path: str, reply: Any, adds: bool
) -> None:
    has[path] = reply

    assert inquiring.adds_nodes(cluster) is adds


def test_all_pods_are_asked_for_only_where_devices_are_to_be_counted(
    has: dict[str, Any], cluster: Cluster
) -> None:
    has["/api/v1/pods"] = {"items": []}

    assert inquiring.inquire(cluster, GREETER).pods is None
    assert inquiring.inquire(cluster, function.parse(b"name: g\naccelerator: amd")).pods == []


def test_one_refusal_is_a_sentence_and_its_fix(has: dict[str, Any], cluster: Cluster) -> None:
    has["*"] = FORBIDDEN
    has["/api/v1/namespaces/team"] = apiserver.status(404, "NotFound", "no", name="team")

    with pytest.raises(ClusterFailed) as refused:
        inquiring.check(cluster, GREETER)

    assert refused.value.message == (
        "greeter cannot run there: there is no namespace team in the cluster of loopback"
    )
    assert refused.value.hint == "kubectl create namespace team"


def test_the_platform_of_the_image_counts(has: dict[str, Any], cluster: Cluster) -> None:
    has["*"] = FORBIDDEN
    arm = {**NODE, "status": {**NODE["status"], "nodeInfo": {"architecture": "arm64"}}}
    has["/api/v1/nodes"] = {"items": [arm]}
    has[AUTOSCALER] = apiserver.status(404, "NotFound", "no", name="x")
    has["/apis/karpenter.sh"] = has[AUTOSCALER]

    assert inquiring.check(cluster, GREETER, platform="linux/arm64") == ()
    with pytest.raises(ClusterFailed, match="the image is for amd64, and no node is: they are arm"):
        inquiring.check(cluster, GREETER)


def test_of_several_refusals_each_has_its_fix(has: dict[str, Any], cluster: Cluster) -> None:
    with pytest.raises(ClusterFailed) as refused:
        inquiring.check(cluster, GREETER)

    assert refused.value.message.splitlines() == [
        "greeter cannot run there:",
        "  the cluster of context loopback has no Knative Serving",
        "    install it: https://knative.dev/docs/install; --platform local needs none",
        "  there is no namespace team in the cluster of loopback",
        "    kubectl create namespace team",
    ]


def test_a_cluster_that_cannot_be_reached_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = apiserver.ApiServer("http://127.0.0.1:1", lambda _: Reply())
    monkeypatch.setenv("KUBECONFIG", str(gone.kubeconfig(tmp_path / "config")))

    with pytest.raises(ClusterFailed, match="cannot be reached"):
        inquiring.inquire(client.connect(), GREETER)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("kubernetes.io/dockerconfigjson", frozenset({".dockerconfigjson"})),
        # As a generic secret, nodes read nothing of it.
        ("Opaque", frozenset[str]()),
    ],
)
def test_a_secret_of_another_type_has_nothing_for_nodes(
    has: dict[str, Any], cluster: Cluster, kind: str, keys: frozenset[str]
) -> None:
    has[SECRET] = {"type": kind, "data": {".dockerconfigjson": "e30=", "other": ""}}
    own = function.parse(b"name: greeter\ndeploy: {pull_secret: tokens}")

    assert list(inquiring.inquire(cluster, own).named.values()) == [keys]


def test_on_few_nodes_all_pods_are_looked_at_for_room(
    has: dict[str, Any], cluster: Cluster
) -> None:
    taken = {
        "metadata": {"name": "a", "namespace": "other"},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "8"}}}]},
        "status": {"phase": "Running"},
    }
    has[SECRET] = {"data": {"token": ""}}
    has["/api/v1/namespaces/team"] = {}
    has["/apis/serving.knative.dev/v1"] = {}
    has["/api/v1/nodes"] = {"items": [NODE]}
    has["/api/v1/pods"] = {"items": [taken]}

    (found,) = inquiring.check(cluster, GREETER)

    assert "no node has room for one more instance now" in found.message
