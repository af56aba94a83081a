"""`mlfunc doctor` says of a cluster what a deployment asks of it, and nothing of it fails here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.function import Accelerator, Events, Function, Subscription
from mlfunc.platforms.knative import examining

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.checkup import Check

    from tests.rig.apiserver import Asked

GREETER = Function(name="greeter")
LISTENER = Function(name="greeter", events=Events(subscriptions=[Subscription()]))
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
CONTROLLERS = {
    "serving": "/apis/apps/v1/namespaces/knative-serving/deployments/controller",
    "eventing": "/apis/apps/v1/namespaces/knative-eventing/deployments/eventing-controller",
}
SETTINGS = "/api/v1/namespaces/knative-serving/configmaps/config-"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
BROKERS = "/apis/eventing.knative.dev/v1/namespaces/team/brokers"


def controller(version: str) -> dict[str, Any]:
    return {"metadata": {"name": "c", "labels": {"app.kubernetes.io/version": version}}}


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "1"}, "items": list(items)}


def broker(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status or READY}


def node(**labels: str) -> dict[str, Any]:
    has = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}
    status = {"allocatable": has, "nodeInfo": {"architecture": "amd64"}}
    return {"metadata": {"name": "n1", "labels": labels}, "spec": {}, "status": status}


def pod(count: str) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"nvidia.com/gpu": count}}}
    spec = {"nodeName": "n1", "containers": [container]}
    return {
        "metadata": {"name": "p", "namespace": "x"},
        "spec": spec,
        "status": {"phase": "Running"},
    }


HEALTHY = {
    "/version": {"gitVersion": "v1.34.2"},
    "/apis/serving.knative.dev/v1": {},
    "/apis/eventing.knative.dev/v1": {},
    "/api/v1/namespaces/team": {"metadata": {"name": "team"}},
    CONTROLLERS["serving"]: controller("1.23.0"),
    CONTROLLERS["eventing"]: controller("1.23.0"),
    REVIEWS: {"status": {"allowed": True}},
    f"{BROKERS}/default": broker("default"),
    "/api/v1/nodes": listing(node()),
    "/api/v1/pods": listing(),
    "/api/v1/namespaces/team/resourcequotas": listing(),
    "/api/v1/namespaces/team/limitranges": listing(),
    f"{SETTINGS}features": {"data": {}},
    f"{SETTINGS}defaults": {"data": {}},
    f"{SETTINGS}autoscaler": {"data": {}},
    f"{SETTINGS}domain": {"data": {"_example": "...", "example.org": ""}},
    f"{SETTINGS}network": {"data": {"ingress-class": "kourier.ingress.networking.knative.dev"}},
}  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A healthy one, as what it has at each path; a Reply is given as it is."""
    has = dict(HEALTHY)

    def answer(asked: Asked) -> Reply:
        found = has.get(asked.path)
        if found is None:
            return apiserver.status(
                404, "NotFound", "not found", name=asked.path.rpartition("/")[2]
            )
        return found if isinstance(found, Reply) else Reply(body=found)

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        yield has


def rows(loaded: Function | None = None, context: str | None = None) -> dict[str, Check]:
    """By their names; of several of one name, the first."""
    found = [*examining.examine(loaded, context, None)]
    return {each.name: each for each in reversed(found)}


def test_a_healthy_cluster_has_no_complaint(cluster: dict[str, Any]) -> None:
    found = rows(LISTENER)

    assert {each.verdict for each in found.values()} == {"ok"}
    assert {each.needed_by for each in found.values()} == {"deploy"}
    details = {name: check.detail for name, check in found.items()}
    assert details.pop("cluster").startswith(
        "loopback, namespace team: Kubernetes v1.34.2 at http://127.0.0.1:"
    )
    assert details == {
        "rights": "may write services.serving.knative.dev in team",
        "knative serving": "1.23.0",
        "knative eventing": "1.23.0",
        "broker": "default in namespace team",
        "ingress": "*.example.org by kourier.ingress.networking.knative.dev",
        "accelerators": "4 of 4 nvidia.com/gpu free",
        "function": "nothing there keeps greeter from running",
    }


def test_a_kubeconfig_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    assert rows(GREETER)["cluster"].verdict == "warn"
    assert "KUBECONFIG names what is not there" in rows(GREETER)["cluster"].detail


def test_no_cluster_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", os.devnull)

    found = rows(GREETER)

    assert [*found] == ["cluster"]
    assert found["cluster"].verdict == "ok"
    assert (
        found["cluster"].detail
        == "none is configured: functions are deployed to the local platform"
    )


def test_one_that_does_not_answer_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = apiserver.ApiServer("http://127.0.0.1:1", lambda _: Reply())
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))

    check = rows()["cluster"]

    assert check.verdict == "warn"
    assert "connection refused" in check.detail
    assert check.fix


def test_a_context_that_is_not_there_is_a_warning(cluster: dict[str, Any]) -> None:
    check = rows(context="lopback")["cluster"]

    assert (check.verdict, check.detail) == (
        "warn",
        "kubeconfig has no context 'lopback'; did you mean loopback?",
    )


def test_who_may_not_deploy_is_told_how_to_ask(cluster: dict[str, Any]) -> None:
    cluster[REVIEWS] = {"status": {"allowed": False}}

    check = rows()["rights"]

    assert check.verdict == "warn"
    assert check.fix.startswith("kubectl auth can-i patch services.serving.knative.dev -n team;")


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.18.2", "warn"), ("v1.9.0", "warn"), ("1.19.0", "ok"), ("2.0.0", "ok"), ("devel", "ok")],
)
def test_what_is_older_than_what_is_tested_is_a_warning(
    cluster: dict[str, Any], version: str, verdict: str
) -> None:
    cluster[CONTROLLERS["serving"]] = controller(version)

    assert rows()["knative serving"].verdict == verdict


def test_a_cluster_without_knative_is_told_where_to_get_it(cluster: dict[str, Any]) -> None:
    for path in [each for each in cluster if "knative" in each]:
        del cluster[path]

    found = rows(GREETER)

    assert found["knative serving"].verdict == "warn"
    assert "https://knative.dev/docs/install" in found["knative serving"].fix
    assert found["knative eventing"].verdict == "ok", "this function needs no events"
    assert rows(LISTENER)["knative eventing"].verdict == "warn"
    assert not {"broker", "ingress", "function"} & {*found}


def test_a_broker_is_missed_by_those_who_need_it(cluster: dict[str, Any]) -> None:
    del cluster[f"{BROKERS}/default"]

    assert rows(GREETER)["broker"].verdict == "ok"
    missed = rows(LISTENER)["broker"]
    assert (missed.verdict, missed.fix) == ("warn", "kn broker create default -n team")


def test_a_broker_that_is_not_ready_says_why(cluster: dict[str, Any]) -> None:
    condition = {"type": "Ready", "status": "False", "message": "no channel"}
    cluster[f"{BROKERS}/default"] = broker("default", conditions=[condition])

    assert rows(LISTENER)["broker"].detail == "default is not ready: no channel"


def test_functions_without_a_domain_are_called_in_the_cluster_only(cluster: dict[str, Any]) -> None:
    cluster[f"{SETTINGS}domain"] = {"data": {"_example": "..."}}

    check = rows()["ingress"]

    assert check.detail.startswith("no domain is set")
    assert check.fix


def test_accelerators_are_counted_with_their_product(cluster: dict[str, Any]) -> None:
    cluster["/api/v1/nodes"] = listing(node(**{"nvidia.com/gpu.product": "NVIDIA-L4"}))
    cluster["/api/v1/pods"] = listing(pod("3"))

    assert rows()["accelerators"].detail == "1 of 4 nvidia.com/gpu (NVIDIA-L4) free"


def test_what_keeps_the_function_from_running_comes_with_its_fix(cluster: dict[str, Any]) -> None:
    chosen = Accelerator(type="nvidia", product="NVIDIA-L4")
    cluster["/api/v1/nodes"] = listing(node(**{"nvidia.com/gpu.product": "NVIDIA-L4"}))

    check = rows(Function(name="greeter", accelerator=chosen))["function"]

    assert check.verdict == "warn"
    assert "kubernetes.podspec-nodeselector" in check.detail
    assert check.fix.startswith("kubectl patch configmap config-features -n knative-serving")


def test_what_one_may_not_look_at_is_not_held_against_it(cluster: dict[str, Any]) -> None:
    told = 'x is forbidden: User "ada" cannot get resource "x" in API group "" in the namespace "y"'
    closed = apiserver.status(403, "Forbidden", told, kind="x")
    for path in cluster:
        if path not in ("/version", REVIEWS):
            cluster[path] = closed

    found = rows(LISTENER)

    assert {each.verdict for each in found.values()} == {"ok"}
    assert found["accelerators"].detail == "not known: you may not look at nodes"
    assert found["knative serving"].detail == "not known: you may not look"
