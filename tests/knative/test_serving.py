"""A function on a real cluster is replaced, rolled back, tried out and killed while requests come."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
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
    """Says who answers. Tells the collector afterwards, at once or when its end has come."""

    version = 1

    def load(self, context):
        self.url = context.config["collector"]

    def predict(self, number: int, tell: str = "never") -> dict:
        pod = os.environ["HOSTNAME"]
        return {"number": number, "tell": tell, "version": self.version, "pod": pod}

    def after_response(self, result, request):
        while result["tell"] == "last" and self.serves():
            time.sleep(0.1)
        time.sleep(0.2)
        if result["tell"] != "never":
            body = b'{"number": %d}' % result["number"]
            headers = {"content-type": "application/json"}
            post = urllib.request.Request(self.url, body, headers)
            urllib.request.urlopen(post, timeout=20).read()

    def serves(self):
        try:
            url = f"http://127.0.0.1:{os.environ['PORT']}/health/readiness"
            return urllib.request.urlopen(url, timeout=5).status == 200
        except OSError:
            return False
'''
_ONE = {"min": 1, "max": 1}
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

    def client(self, **more: object) -> AbstractContextManager[Send]:
        """Sends it numbers, and what else it should know."""
        host = self.cluster.host("teller")
        return load.client(self.cluster.ingress, host, lambda number: {"number": number, **more})

    @contextlib.contextmanager
    def under_load(self, **more: object) -> Iterator[Load]:
        """20 requests a second until the block ends."""
        with (
            self.client(**more) as send,
            load.steady(send, per_second=20) as running,
        ):
            eventually(lambda: len(running.outcomes) > 20, "requests are answered")
            yield running

    def told(self) -> list[int]:
        """What the collector knows."""
        found: list[int] = self.cluster.request("collector", {}).json()
        return found


@contextlib.contextmanager
def ended_log(cluster: Cluster, pod: str) -> Iterator[list[str]]:
    """The log of a pod that is to end: whole when the block has ended, and the pod."""
    command = ["kubectl", "-n", cluster.namespace, "logs", "-f", pod, "-c", "user-container"]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield lines
        lines += process.stdout or ()


def _phase(log: Iterable[str], phase: str) -> dict[str, Any]:
    lines = (json.loads(line) for line in log)
    return next(line for line in lines if line.get("phase") == phase)


@pytest.fixture(scope="module")
def teller(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Teller:
    folder = tmp_path_factory.mktemp("serving")
    collector = shared.project(folder / "collector", COLLECTOR, scale={"min": 1, "max": 1})
    shared.mlfunc("deploy", "--path", collector)
    url = f"http://collector.{shared.namespace}.svc.cluster.local/"
    keys = {"config": {"collector": url}, "serve": {"hooks": {"timeout": "90s"}}}
    project = shared.project(folder / "teller", TELLER, scale=_ONE, **keys)
    shared.mlfunc("deploy", "--path", project, "--tag", "v1")
    return Teller(shared, project)


def test_the_first_revision_has_the_tag_that_was_asked_for(teller: Teller) -> None:
    routed = teller.cluster.get("ksvc", "teller")["status"]["traffic"]

    assert ("v1", "teller-00001") in {(each.get("tag"), each["revisionName"]) for each in routed}


def test_a_rolling_update_fails_no_request(teller: Teller, figure: Callable[[str], None]) -> None:
    with teller.under_load() as running:
        version = teller.deploy_next()
        eventually(lambda: running.count("version")[version] > 100, "the new version answers")

    figure(f"rolling update: {running}; by version {dict(running.count('version'))}")
    assert running.failed == []


def test_a_rollback_fails_no_request(teller: Teller, figure: Callable[[str], None]) -> None:
    before = teller.version
    teller.deploy_next()

    with teller.under_load() as running:
        teller.cluster.mlfunc("rollback", "teller", "-n", teller.cluster.namespace)
        eventually(lambda: running.count("version")[before] > 100, "the old version answers")

    figure(f"rollback: {running}; by version {dict(running.count('version'))}")
    assert running.failed == []


def test_a_deleted_pod_fails_no_request_and_loses_no_hook(
    teller: Teller, figure: Callable[[str], None]
) -> None:
    with teller.under_load(tell="soon") as running:
        doomed = teller.cluster.request("teller", {"number": -1, "tell": "last"}).json()["pod"]
        with ended_log(teller.cluster, doomed) as log:
            teller.cluster.kubectl("delete", "pod", doomed, "--wait=false")
            eventually(lambda: running.latest("pod") != doomed, "another pod answers")
    draining, stopped = (_phase(log, phase) for phase in ("draining", "stopped"))

    figure(
        f"pod deletion: {running}; by pod {sorted(running.count('pod').values())};"
        f" hooks at SIGTERM {draining['hooks']}, undone {stopped['hooks']}"
    )
    assert running.failed == []
    assert draining["hooks"] == 1
    assert (stopped["in_flight"], stopped["hooks"]) == (0, 0)
    sent = sorted([-1, *(each.number for each in running.outcomes)])
    eventually(lambda: sorted(teller.told()) == sent, "each hook has told its number, once")


def test_a_canary_gets_its_share(teller: Teller, figure: Callable[[str], None]) -> None:
    requests, percent = 1000, 10
    canary = teller.deploy_next("--traffic", str(percent))

    with teller.client() as send:
        asked = load.crowd(send, clients=8, requests=requests)

    got, expected = asked.count("version")[canary], requests * percent / 100
    sigma = math.sqrt(expected * (1 - percent / 100))
    figure(f"canary of {percent} %: {got} of {asked}; 5 sigma are {_SIGMAS * sigma:.0f}")
    assert asked.failed == []
    assert abs(got - expected) <= _SIGMAS * sigma
