"""A new revision in place of the old one, on the only accelerator: nothing is refused meanwhile."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.rig.cluster import ask, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster

GREETER = """
class Greeter:
    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return f"Hello {name}"
"""
BROKEN = GREETER.replace(
    "    example", "    def load(self, context):\n        1 / 0\n\n    example"
)
KEYS = {"accelerator": "amd", "deploy": {"rollout": "recreate"}, "scale": {"min": 1}}


@pytest.fixture
def one_gpu(cluster: Cluster) -> Iterator[None]:
    """A node that says it has one, and a cluster that lets a revision be ready without a pod."""
    node = cluster.get("nodes")[0]["metadata"]["name"]
    at = "/status/capacity/amd.com~1gpu"
    allow = {"data": {"allow-zero-initial-scale": "true"}}
    _patch_node(cluster, node, [{"op": "add", "path": at, "value": "1"}])
    _patch_autoscaler(cluster, allow)
    has = "jsonpath={.status.allocatable.amd\\.com/gpu}"
    eventually(lambda: cluster.kubectl("get", "node", node, "-o", has) == "1", "a GPU on the node")
    try:
        yield
    finally:
        _patch_node(cluster, node, [{"op": "remove", "path": at}])
        _patch_autoscaler(cluster, {"data": {"allow-zero-initial-scale": None}})


def test_requests_wait_for_the_revision_that_takes_the_accelerator(
    cluster: Cluster, tmp_path: Path, one_gpu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER, **KEYS)
    cluster.mlfunc("deploy", "--path", project)
    assert cluster.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    cluster.project(project, GREETER.replace("Hello", "Goodbye"), **KEYS)

    with Steady(cluster) as steady:
        deployed = cluster.mlfunc("deploy", "--path", project, "-o", "json").data
    longest = max(seconds for _, seconds in steady.answers)

    assert deployed["ready"]
    assert [each for each in steady.answers if each[0][0] != 200] == []
    assert steady.answers[-1][0][1] == "Goodbye Ada"
    with capsys.disabled():
        sys.stdout.write(
            f"\nrecreate: {len(steady.answers)} requests, none failed, longest {longest:.1f} s\n"
        )


def test_the_old_revision_gets_the_accelerator_back_where_the_new_one_fails(
    cluster: Cluster, tmp_path: Path, one_gpu: None
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER, **KEYS)
    cluster.mlfunc("deploy", "--path", project)
    cluster.project(project, BROKEN, **KEYS)

    failed = cluster.mlfunc("deploy", "--path", project, code=7)

    assert "ZeroDivisionError" in failed.err
    assert "greeter-00001" in failed.err

    def answer() -> object:
        return cluster.request("greeter", {"name": "Ada"}, timeout=90).data

    assert eventually(lambda: answer() == b'"Hello Ada"', "the old revision", seconds=120)


class Steady:
    """Two requests a second while the block lasts: answers as ((status, result), seconds)."""

    def __init__(self, cluster: Cluster) -> None:
        self._url, self._host = cluster.ingress, cluster.host("greeter")
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answers: list[tuple[tuple[int, object], float]] = []

    def __enter__(self) -> Steady:
        self._clock = threading.Thread(target=self._send)
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._clock.join()
        for each in self._threads:
            each.join()

    def _send(self) -> None:
        while not self._over.wait(0.5):
            each = threading.Thread(target=self._ask)
            each.start()
            self._threads.append(each)
        self._ask()

    def _ask(self) -> None:
        began = time.monotonic()
        reply = ask(self._url, self._host, {"name": "Ada"}, timeout=120)
        told = reply.json() if reply.status == 200 else reply.data
        self.answers.append(((reply.status, told), time.monotonic() - began))


def _patch_node(cluster: Cluster, node: str, change: object) -> None:
    cluster.kubectl(
        "patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(change)
    )


def _patch_autoscaler(cluster: Cluster, change: object) -> None:
    name = ("configmap", "config-autoscaler", "-n", "knative-serving")
    cluster.kubectl("patch", *name, "--type=merge", "-p", json.dumps(change))
