"""The ways to a function in a cluster."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from mlfunc.cluster import client
from mlfunc.errors import ClusterFailed
from mlfunc.platforms import choosing
from mlfunc.platforms.knative import invoking
from mlfunc.platforms.knative.addressing import Addressed
from mlfunc.platforms.way import Way

from tests.func.knative.objects import ingress, pod, service
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.platforms.knative.invoking import Reached

    from tests.rig.apiserver import Asked

_HOST = "greeter.team.nowhere.invalid"
_PRIVATE = "greeter.team.svc.cluster.local"


def reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objects: dict[str, Any], **told: Any
) -> Reached:
    """With a cluster of these objects, by the end of their path; others may not be read."""

    def answer(asked: Asked) -> Reply:
        *_, kind, name = asked.path.split("/")
        found = objects.get(f"{kind}/{name}", objects.get(name))
        if found is None:
            return apiserver.status(403, "Forbidden", f"{name} is not for you")
        listed = {"metadata": {"resourceVersion": "1"}, "items": found}
        return Reply(body=listed if isinstance(found, list) else found)

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        monkeypatch.setenv("MLFUNC_INGRESS", told.pop("environ", {}).get("MLFUNC_INGRESS", ""))
        return invoking.reach(
            Addressed("greeter", client.connect()), choosing.of("knative"), **told
        )


def greeter(url: str = f"http://{_HOST}") -> dict[str, Any]:
    """A function, and its Ingress: of Services that nobody may look at."""
    found = service()
    found["status"]["url"] = url
    return {
        "services/greeter": found,
        "pods": [pod(2)],
        "ingresses/greeter": ingress(urlsplit(url).netloc),
    }


@pytest.fixture
def port() -> Iterator[int]:
    """One of this machine that something answers at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_name_at_which_something_answers_is_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    found = reach(tmp_path, monkeypatch, greeter(f"http://localhost:{port}"))
    assert (found.way, found.has_instance) == (Way(f"http://localhost:{port}"), True)


@pytest.mark.parametrize(
    "told", [{"ingress": "10.0.0.1:80"}, {"environ": {invoking.INGRESS: "http://10.0.0.1:80"}}]
)
def test_an_ingress_that_is_named_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    objects = {**greeter("http://localhost:8080"), "pods": []}
    found = reach(tmp_path, monkeypatch, objects, **told)
    assert found.way == Way("http://10.0.0.1:80", "localhost:8080")
    assert not found.has_instance


def test_else_the_port_of_a_node_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    ports = [{"port": 80, "nodePort": port}, {"port": 443, "nodePort": 1}]
    door = {"metadata": {"name": "door"}, "spec": {"ports": ports}, "status": {}}
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}

    found = reach(tmp_path, monkeypatch, {**greeter(), "services/door": door, "nodes": [node]})

    assert found.way == Way(f"http://127.0.0.1:{port}", _HOST)


def test_else_the_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reach(tmp_path, monkeypatch, greeter())

    with found.way.connect(5) as connection:
        assert connection.url == f"{_HOST} by the API server of context loopback"


def test_no_ingress_that_is_set_for_all_is_asked_for_what_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"environ": {invoking.INGRESS: "http://10.0.0.1:80"}}
    found = reach(tmp_path, monkeypatch, greeter(f"http://{_PRIVATE}"), **elsewhere)
    assert found.way.wire
    assert found.way.host == _PRIVATE


def test_where_no_way_leads_the_options_and_the_right_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = greeter()
    del objects["ingresses/greeter"]
    with pytest.raises(ClusterFailed, match="no way leads from here") as raised:
        reach(tmp_path, monkeypatch, objects)
    assert "--ingress" in raised.value.hint
    assert "ingresses.networking.internal.knative.dev" in raised.value.hint


def test_what_takes_no_requests_yet_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = greeter()
    young["services/greeter"]["status"]["traffic"] = []
    with pytest.raises(ClusterFailed, match="no revision that takes requests"):
        reach(tmp_path, monkeypatch, young)


def test_a_tag_that_has_no_url_yet_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    young = greeter()
    routed = young["services/greeter"]["status"]["traffic"]
    routed.append({"revisionName": "greeter-00001", "tag": "old"})
    with pytest.raises(ClusterFailed, match="the tag old of greeter has no URL yet"):
        reach(tmp_path, monkeypatch, young, tag="old")
