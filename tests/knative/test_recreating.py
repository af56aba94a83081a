"""A new revision in place of the old one, on the only accelerator: nothing is refused meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    cluster: Cluster, tmp_path: Path, one_gpu: None, figure: Callable[[str], None]
) -> None:
    """Tagged, so that no ingress forgets the old revision before it has learnt of the new one."""
    project = cluster.project(tmp_path / "greeter", GREETER, **KEYS)
    cluster.mlfunc("deploy", "--path", project, "--tag", "old")
    assert cluster.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    cluster.project(project, GREETER.replace("Hello", "Goodbye"), **KEYS)

    host = cluster.host("greeter")
    with load.client(cluster.ingress, host, lambda _: {"name": "Ada"}) as send:
        with load.steady(send, per_second=2) as steady:
            arguments = ("deploy", "--path", project, "--tag", "new", "-o", "json")
            deployed = cluster.mlfunc(*arguments).data
        last = cluster.request("greeter", {"name": "Ada"})

    longest = max(each.seconds for each in steady.outcomes)
    figure(f"recreate: {len(steady.outcomes)} requests, none failed, longest {longest:.1f} s")
    assert deployed["ready"]
    assert steady.failed == []
    assert last.json() == "Goodbye Ada"


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


def _patch_node(cluster: Cluster, node: str, change: object) -> None:
    cluster.kubectl(
        "patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(change)
    )


def _patch_autoscaler(cluster: Cluster, change: object) -> None:
    name = ("configmap", "config-autoscaler", "-n", "knative-serving")
    cluster.kubectl("patch", *name, "--type=merge", "-p", json.dumps(change))
