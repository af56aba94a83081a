"""The ways to a function in a cluster."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import client
from mlfunc.errors import ClusterFailed
from mlfunc.platforms import choosing
from mlfunc.platforms.knative import invoking
from mlfunc.platforms.knative.addressing import Addressed

from tests.func.knative.objects import pod, service
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.platforms.knative.invoking import Reached

    from tests.rig.apiserver import Asked

_HOST = "greeter.team.nowhere.invalid"


def reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objects: dict[str, Any], **told: Any
) -> Reached:
    """With a cluster of these objects, by the last part of their path; others may not be read."""

    def answer(asked: Asked) -> Reply:
        last = asked.path.rpartition("/")[2]
        if last not in objects:
            return apiserver.status(403, "Forbidden", f"{last} is not for you")
        found = objects[last]
        listed = {"metadata": {"resourceVersion": "1"}, "items": found}
        return Reply(body=listed if isinstance(found, list) else found)

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        monkeypatch.setenv("MLFUNC_INGRESS", told.pop("environ", {}).get("MLFUNC_INGRESS", ""))
        return invoking.reach(
            Addressed("greeter", client.connect()), choosing.of("knative"), **told
        )


def greeter(url: str = f"http://{_HOST}") -> dict[str, Any]:
    found = service()
    found["status"]["url"] = url
    return {"greeter": found, "pods": [pod(2)]}


def test_a_name_that_is_known_here_is_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reach(tmp_path, monkeypatch, greeter("http://localhost:8080"))
    assert (found.url, found.host, found.has_instance) == ("http://localhost:8080", None, True)


@pytest.mark.parametrize(
    "told", [{"ingress": "10.0.0.1:80"}, {"environ": {invoking.INGRESS: "http://10.0.0.1:80"}}]
)
def test_an_ingress_that_is_named_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    objects = {**greeter("http://localhost:8080"), "pods": []}
    found = reach(tmp_path, monkeypatch, objects, **told)
    assert (found.url, found.host) == ("http://10.0.0.1:80", "localhost:8080")
    assert not found.has_instance


def test_else_the_port_of_a_node_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    ) as it:
        threading.Thread(target=it.serve_forever, args=(0.01,), daemon=True).start()
        ports = [{"port": 80, "nodePort": it.server_port}, {"port": 443, "nodePort": 1}]
        kourier = {"metadata": {"name": "kourier"}, "spec": {"ports": ports}, "status": {}}
        node = {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}

        found = reach(tmp_path, monkeypatch, {**greeter(), "kourier": kourier, "nodes": [node]})

        it.shutdown()
    assert (found.url, found.host) == (f"http://127.0.0.1:{it.server_port}", _HOST)


def test_where_no_way_leads_the_options_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterFailed, match="no way leads from here") as raised:
        reach(tmp_path, monkeypatch, greeter())
    assert "--ingress" in raised.value.hint


def test_what_takes_no_requests_yet_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = greeter()
    young["greeter"]["status"]["traffic"] = []
    with pytest.raises(ClusterFailed, match="no revision that takes requests"):
        reach(tmp_path, monkeypatch, young)


def test_load_balancers_are_tried_by_address_or_name() -> None:
    ingress = [{"ip": "10.0.0.1"}, {"hostname": "lb.example.com"}]
    found = {
        "status": {"loadBalancer": {"ingress": ingress}},
        "spec": {"externalIPs": ["10.0.0.2"]},
    }
    assert [address for address, _ in invoking.balancers(found)] == [
        "10.0.0.1",
        "lb.example.com",
        "10.0.0.2",
    ]


def test_of_a_node_its_address_for_the_outside_is_tried_first() -> None:
    inner, outer = ({"type": f"{at}IP", "address": at} for at in ("Internal", "External"))
    assert invoking.addresses([{"status": {"addresses": [inner, outer]}}]) == [
        "External",
        "Internal",
    ]
    assert invoking._bracketed("fd00::1") == "[fd00::1]"
