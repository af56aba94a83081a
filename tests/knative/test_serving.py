"""A function on a real cluster, while requests come: how it shares, is replaced, and ends."""

from __future__ import annotations

import contextlib
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster
    from tests.rig.load import Load, Send

COLLECTOR = '''
class Collector:
    """Keeps the numbers that it is told; asked without one, it tells them."""

    def load(self, context):
        self.told = []

    def predict(self, number: int | None = None) -> list[int]:
        if number is not None:
            self.told.append(number)
            return []
        return self.told
'''
TELLER = '''
import os
import time
import urllib.request


class Teller:
    """Says who answers; with a `pause`, tells the collector so long after the reply."""

    version = 1

    def load(self, context):
        self.url = context.config["collector"]

    def predict(self, number: int, pause: float | None = None) -> dict:
        answer = {"number": number, "pause": pause, "version": self.version}
        return {**answer, "pod": os.environ["HOSTNAME"]}

    def after_response(self, result, request):
        if result["pause"] is not None:
            time.sleep(result["pause"])
            body = b'{"number": %d}' % result["number"]
            headers = {"content-type": "application/json"}
            post = urllib.request.Request(self.url, body, headers)
            urllib.request.urlopen(post, timeout=20).read()
'''
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
_ONE = {"min": 1, "max": 2, "window": "10s"}
_SIGMAS = 5


@dataclass
class Teller:
    """A function that is replaced again and again, and the collector that its hooks tell."""

    cluster: Cluster
    project: Path
    version: int = 1

    def deploy_next(self, *options: str) -> int:
        """Another version of its code; which it is."""
        self.version += 1
        source = TELLER.replace("version = 1", f"version = {self.version}")
        (self.project / "predictor.py").write_text(source, encoding="utf-8")
        # With a tag, a revision stays known to the ingress when it gets no more requests: one that
        # forgets it before it changes the route answers 503 in between, by itself.
        tag = ("--tag", f"v{self.version}")
        self.cluster.mlfunc("deploy", "--path", self.project, *tag, *options)
        return self.version

    @contextlib.contextmanager
    def under_load(self, **more: object) -> Iterator[Load]:
        """20 requests a second until the block ends."""
        with (
            sender(self.cluster, "teller", lambda n: {"number": n, **more}) as send,
            load.steady(send, per_second=20) as running,
        ):
            eventually(lambda: len(running.outcomes) > 20, "requests are answered")
            yield running

    def told(self) -> list[int]:
        """What the collector knows."""
        found: list[int] = self.cluster.request("collector", {}).json()
        return found


@contextlib.contextmanager
def sender(cluster: Cluster, name: str, body: Callable[[int], object]) -> Iterator[Send]:
    with load.client(cluster.ingress, cluster.host(name), body) as send:
        yield send


def metric(cluster: Cluster, pod: str, name: str) -> float:
    """Of a pod's port 9095: the sum of all samples that begin so."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}:9095/proxy/metrics"
    text = cluster.kubectl("get", "--raw", path)
    return sum(map(float, re.findall(rf"^{re.escape(name)}\S* (\S+)$", text, re.MULTILINE)))


@pytest.fixture(scope="module")
def teller(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Teller:
    folder = tmp_path_factory.mktemp("serving")
    collector = shared.project(folder / "collector", COLLECTOR, scale={"min": 1, "max": 1})
    shared.mlfunc("deploy", "--path", collector)
    url = f"http://collector.{shared.namespace}.svc.cluster.local/"
    project = shared.project(folder / "teller", TELLER, scale=_ONE, config={"collector": url})
    shared.mlfunc("deploy", "--path", project, "--tag", "v1")
    return Teller(shared, project)


def test_a_rolling_update_fails_no_request(teller: Teller, figure: Callable[[str], None]) -> None:
    with teller.under_load() as running:
        version = teller.deploy_next()
        eventually(lambda: running.latest("version") == version, "the new version answers")

    figure(f"rolling update: {running}; by version {dict(running.count('version'))}")
    assert running.failed == []


def test_a_rollback_fails_no_request(teller: Teller, figure: Callable[[str], None]) -> None:
    before = teller.version
    teller.deploy_next()

    with teller.under_load() as running:
        teller.cluster.mlfunc("rollback", "teller", "-n", teller.cluster.namespace)
        eventually(lambda: running.latest("version") == before, "the old version answers")

    figure(f"rollback: {running}; by version {dict(running.count('version'))}")
    assert running.failed == []


def test_a_deleted_pod_fails_no_request_and_loses_no_hook(
    teller: Teller, figure: Callable[[str], None]
) -> None:
    with teller.under_load(pause=3.0) as running:
        doomed = running.latest("pod")
        teller.cluster.kubectl("delete", "pod", doomed, "--wait=false")
        eventually(lambda: running.latest("pod") != doomed, "another pod answers")

    figure(f"pod deletion: {running}; by pod {sorted(running.count('pod').values())}")
    assert running.failed == []
    sent = sorted(each.number for each in running.outcomes)
    eventually(lambda: sorted(teller.told()) == sent, "each hook has told its number, once")


def test_a_canary_gets_its_share(teller: Teller, figure: Callable[[str], None]) -> None:
    requests, percent = 1000, 10
    canary = teller.deploy_next("--traffic", str(percent))

    with sender(teller.cluster, "teller", lambda n: {"number": n}) as send:
        asked = load.crowd(send, clients=8, requests=requests)

    got, expected = asked.count("version")[canary], requests * percent / 100
    sigma = math.sqrt(expected * (1 - percent / 100))
    figure(f"canary of {percent} %: {got} of {asked}; 5 sigma are {_SIGMAS * sigma:.0f}")
    assert asked.failed == []
    assert abs(got - expected) <= _SIGMAS * sigma


def test_requests_share_an_instance_and_a_reply_waits_for_no_hook(
    cluster: Cluster, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    places, requests = 16, 200
    one = {"min": 1, "max": 1}
    project = cluster.project(tmp_path / "hooked", HOOKED, scale=one, serve={"concurrency": places})
    cluster.mlfunc("deploy", "--path", project)
    (pod,) = (each["metadata"]["name"] for each in cluster.pods("hooked"))

    held = cluster.request("hooked", {"kind": "hold"}, timeout=30)
    with sender(cluster, "hooked", lambda _: {"kind": "work"}) as send:
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
