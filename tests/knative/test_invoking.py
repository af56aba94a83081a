"""Requests from a machine that reaches nothing of a cluster but its API server."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.knative.conftest import GREETER
from tests.rig import cluster as rig
from tests.rig import rights

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.cluster import Cluster

MIRROR = '''
class Mirror:
    """Gives back what it got."""

    def predict(self, data: bytes) -> bytes:
        return data
'''
COUNTER = '''
class Counter:
    """Counts."""

    example = {"to": 3}

    def predict(self, to: int):
        yield from range(to)
'''
# Copies bytes from a pod to the ingress, and back.
_RELAY = """
import asyncio, sys

async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

def relay(address, port):
    async def both(reader, writer):
        back, forth = await asyncio.open_connection(address, int(port))
        await asyncio.gather(copy(reader, forth), copy(back, writer), return_exceptions=True)
    return both

async def main(ways):
    for number, way in enumerate(ways):
        await asyncio.start_server(relay(*way.split("|")), port=8080 + number)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1:]))
"""
_BALANCERS = ("publicLoadBalancer", "privateLoadBalancer")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFUNC_INGRESS")


@pytest.fixture(scope="module")
def functions(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A public one with a tag, one of bytes, and a private one; requests reach all."""
    work, private = tmp_path_factory.mktemp("work"), {"deploy": {"visibility": "cluster-local"}}
    shared.mlfunc("deploy", "--tag", "new", "--path", shared.project(work / "greeter", GREETER))
    shared.mlfunc("deploy", "--path", shared.project(work / "mirror", MIRROR))
    shared.mlfunc("deploy", "--path", shared.project(work / "counter", COUNTER, **private))
    made = {name: shared.get("kingress", name) for name in ("greeter", "mirror", "counter")}
    if not _has_pods(_entrances(made["greeter"])[0]):
        _relay(shared, _entrances(made["greeter"]))
        for name in made:
            _lead_to_relay(shared, name)


def _entrances(ingress: Any) -> list[str]:
    status = ingress["status"]
    return [status[each]["ingress"][0]["domainInternal"] for each in _BALANCERS]


def _endpoints(entrance: str) -> Any:
    name, namespace = entrance.split(".")[:2]
    command = ["kubectl", "get", "endpoints", name, "-n", namespace, "-o", "json"]
    return json.loads(rig.ended(command).ok().out).get("subsets")


def _has_pods(entrance: str) -> bool:
    """Without one, the API server passes nothing on: an address alone could be anybody's."""
    return any("targetRef" in at for part in _endpoints(entrance) for at in part["addresses"])


def _relay(cluster: Cluster, entrances: list[str]) -> None:
    """A pod before an ingress that is none, and Services that lead to it."""
    parts = [_endpoints(each)[0] for each in entrances]
    ways = [f"{part['addresses'][0]['ip']}|{part['ports'][0]['port']}" for part in parts]
    image = rig.with_scheme(os.environ["MLFUNC_BASE_IMAGE"]).partition("://")[2]
    container: dict[str, Any] = {
        "name": "relay",
        "image": image,
        "command": ["python3", "-c", _RELAY, *ways],
    }
    container["readinessProbe"] = {"tcpSocket": {"port": 8081}, "periodSeconds": 1}
    labels, meta = {"app": "relay"}, {"apiVersion": "v1"}
    cluster.apply(
        {
            **meta,
            "kind": "Pod",
            "metadata": {"name": "relay", "labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
        *(
            {
                **meta,
                "kind": "Service",
                "metadata": {"name": f"relay-{number}"},
                "spec": {
                    "selector": labels,
                    "ports": [{"port": 80, "targetPort": 8080 + number}],
                },
            }
            for number in range(len(ways))
        ),
    )
    last = f"relay-1.{cluster.namespace}"
    rig.eventually(lambda: _endpoints(last), "the relay is ready")


def _lead_to_relay(cluster: Cluster, name: str) -> None:
    told = {
        each: {"ingress": [{"domainInternal": f"relay-{number}.{cluster.namespace}.svc.local"}]}
        for number, each in enumerate(_BALANCERS)
    }
    patch = json.dumps({"status": told})
    cluster.kubectl("patch", "kingress", name, "--subresource=status", "--type=merge", "-p", patch)


@pytest.mark.usefixtures("functions")
def test_a_function_answers_by_way_of_the_api_server(shared: Cluster) -> None:
    where = ("--namespace", shared.namespace)

    answered = shared.mlfunc("invoke", "greeter", *where, "-v")
    tagged = shared.mlfunc("invoke", "greeter", *where, "--tag", "new", "-v")
    event = shared.mlfunc("invoke", "greeter", *where, "--event", "-o", "json").data
    many = shared.mlfunc("invoke", "greeter", *where, "-n", "40", "-c", "4")

    assert json.loads(answered.out) == json.loads(tagged.out) == "Hello Ada"
    assert f"to {shared.host('greeter')} by the API server of context" in answered.err
    assert f"to new-{shared.host('greeter')} by the API server" in tagged.err
    assert event["event"]["type"] == "dev.mlfunc.greeter.result"
    assert many.out.startswith("40 requests in")
    assert "these figures are of the API server, too" in many.err


@pytest.mark.usefixtures("functions")
def test_so_does_one_that_is_private_and_streams(shared: Cluster) -> None:
    answered = shared.mlfunc("invoke", "counter", "--namespace", shared.namespace, "-v")

    assert answered.out.split() == ["0", "1", "2"]
    assert f"to counter.{shared.namespace}.svc." in answered.err


@pytest.mark.usefixtures("functions")
def test_large_bodies_of_bytes_come_back_as_they_went(shared: Cluster, tmp_path: Path) -> None:
    sent = tmp_path / "body"
    sent.write_bytes(os.urandom(1 << 20) * 16)
    command = [str(shared.command), "invoke", "mirror", "--namespace", shared.namespace]

    came = subprocess.run([*command, "--file", str(sent)], capture_output=True, check=True).stdout

    assert came == sent.read_bytes()


@pytest.mark.usefixtures("functions")
def test_what_the_function_refuses_and_what_the_api_server_keeps_are_told(shared: Cluster) -> None:
    where = ("--namespace", shared.namespace)

    wrong = shared.mlfunc("invoke", "greeter", *where, "--data", '{"nme": 1}', code=3)
    kept = shared.mlfunc("invoke", "greeter", *where, "-H", "authorization: Basic x", code=2)

    assert "400 Bad Request: unknown field" in wrong.err
    assert "keeps the header authorization for itself" in kept.err
    assert "kubectl port-forward" in kept.err


@pytest.mark.usefixtures("functions")
def test_who_may_not_is_told_which_right_it_takes(
    shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [
        {"apiGroups": ["serving.knative.dev"], "resources": ["*"], "verbs": ["get", "list"]},
        {
            "apiGroups": ["networking.internal.knative.dev"],
            "resources": ["ingresses"],
            "verbs": ["get"],
        },
    ]
    said = []
    for granted in (rules[:1], rules):
        with monkeypatch.context() as ada:
            ada.setenv("KUBECONFIG", str(rights.granted(shared, tmp_path, granted)))
            command = ("invoke", "greeter", "--namespace", shared.namespace)
            said.append(shared.mlfunc(*command, code=7).err)

    blind, forbidden = said
    assert "the right to get ingresses.networking.internal.knative.dev" in blind
    assert "ada may not get services/proxy" in forbidden
    assert "the rights to get and create services/proxy in namespace" in forbidden
