"""One instance serves many requests at once: its slot computes while others' hooks wait for IO."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.rig.cluster import Cluster

# 400 ms of IO around 50 ms of prediction.
HOOKED = '''
import threading
import time


class Hooked:
    """Works with IO before and after, or holds its hook until a request releases it."""

    def load(self, context):
        self.released = threading.Event()
        self.inside = 0

    def before_predict(self, kind: str):
        self.inside += 1
        inside = self.inside
        time.sleep(0.2)
        self.inside -= 1
        return kind, inside

    def predict(self, asked) -> dict:
        kind, inside = asked
        time.sleep(0.05)
        if kind == "release":
            self.released.set()
        return {"kind": kind, "inside": inside}

    def after_response(self, result, request):
        if result["kind"] == "hold":
            self.released.wait()
        time.sleep(0.2)
'''


def metric(cluster: Cluster, pod: str, name: str) -> float:
    """Of a pod's port 9095: the sum of all samples that begin so."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}:9095/proxy/metrics"
    text = cluster.kubectl("get", "--raw", path)
    return sum(map(float, re.findall(rf"^{re.escape(name)}\S* (\S+)$", text, re.MULTILINE)))


def test_requests_share_an_instance_and_a_reply_waits_for_no_hook(
    cluster: Cluster, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    places, requests = 16, 200
    one = {"min": 1, "max": 1}
    project = cluster.project(tmp_path / "hooked", HOOKED, scale=one, serve={"concurrency": places})
    cluster.mlfunc("deploy", "--path", project)
    (pod,) = (each["metadata"]["name"] for each in cluster.pods("hooked"))

    held = cluster.request("hooked", {"kind": "hold"}, timeout=30)
    with load.client(cluster.ingress, cluster.host("hooked"), lambda _: {"kind": "work"}) as send:
        busy, began = metric(cluster, pod, "mlfunc_slot_busy_seconds_total"), time.monotonic()
        asked = load.crowd(send, clients=2 * places, requests=requests)
        busy = metric(cluster, pod, "mlfunc_slot_busy_seconds_total") - busy
        seconds = time.monotonic() - began
    ran = metric(cluster, pod, 'mlfunc_hooks_total{outcome="ok"}')
    released = cluster.request("hooked", {"kind": "release"})

    figure(f"hooks around a slot: {asked}; slot busy {busy / seconds:.0%} of {seconds:.1f} s")
    assert (held.status, released.status, asked.failed) == (200, 200, [])
    assert 1 < max(asked.count("inside")) <= places
    assert ran <= requests
    eventually(
        lambda: metric(cluster, pod, 'mlfunc_hooks_total{outcome="ok"}') == requests + 2,
        "each hook has run",
    )
