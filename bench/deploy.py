"""Back from zero on Knative: how long a request waits that finds no instance. The plain template,
beside a function on the Python middleware of `func` and the least server there is.

The cluster is that of `make test-knative`: CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import report, stats
from lib.report import Claim
from lib.servers import REPOSITORY

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from tests.rig.cluster import Cluster

MLFUNC = REPOSITORY / ".venv" / "bin" / "mlfunc"
OURS, PEER, FLOOR = "mlfunc, plain template", "func's middleware", "http.server"
NAMES = {OURS: "plain", PEER: "peer", FLOOR: "floor"}
QUESTION = {"text": "What a happy dog, I love it!"}
VARIABLES = ("KUBECONFIG", "MLFUNC_REGISTRY", "MLFUNC_INGRESS", "MLFUNC_BASE_IMAGE")
PATIENCE = 120.0
SCALE = {"max": 1, "window": "6s"}
RESOURCES: dict[str, Any] = {
    "cpu": "10m",
    "memory": "128Mi",
    "limits": {"cpu": "1", "memory": "512Mi"},
}
# What `func` starts for a function: its middleware, on hypercorn, with a handler of the user's.
PEER_NEEDS = "func-python==0.8.1\n"
PEER_CODE = """
from func_python.http import serve

class Function:
    async def handle(self, scope, receive, send):
        head = [[b"content-type", b"application/json"]]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b'{"label": "positive"}'})

def new():
    return Function()

serve(new)
"""
FLOOR_CODE = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"label": "positive"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer(("", 8080), Handler).serve_forever()
"""


def main() -> None:
    options = report.arguments(__doc__, seconds=0, rounds=5)
    report.title("deploy", options, resources=json.dumps(RESOURCES))
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} not set: CONTRIBUTING.md says what they name")
    with tempfile.TemporaryDirectory() as folder, fresh_namespace(Path(folder)) as cluster:
        deploy_ours(cluster, Path(folder))
        deploy_peer(cluster, Path(folder))
        deploy_floor(cluster)
        for name in NAMES.values():
            cluster.kubectl("wait", "ksvc", name, "--for=condition=Ready", "--timeout=120s")
        measure(cluster, options)


def fresh_namespace(folder: Path) -> AbstractContextManager[Cluster]:
    """As the tests have it: their folder is beside this one."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.rig import cluster

    return cluster.fresh(folder / "home", mlfunc=MLFUNC)


def deploy_ours(cluster: Cluster, folder: Path) -> None:
    predictor = (REPOSITORY / "templates" / "plain" / "predictor.py").read_text()
    project = cluster.project(folder / NAMES[OURS], predictor, scale=SCALE, resources=RESOURCES)
    cluster.mlfunc("deploy", "--path", project)


def deploy_peer(cluster: Cluster, folder: Path) -> None:
    """In an image that we build: its packages are compiled, which `func` would not do."""
    project = cluster.project(folder / NAMES[PEER], "class Unused:\n    def predict(self): ...\n")
    (project / "requirements.txt").write_text(PEER_NEEDS)
    built = cluster.mlfunc("build", "--path", project, "-o", "json").data
    image = f"{cluster.registry}/{cluster.namespace}/{NAMES[PEER]}@{built['digest']}"
    probes = {
        f"{kind}Probe": {"httpGet": {"path": f"/health/{kind}"}}
        for kind in ("readiness", "liveness")
    }
    cluster.apply(service(NAMES[PEER], image, PEER_CODE, **probes))


def deploy_floor(cluster: Cluster) -> None:
    cluster.apply(service(NAMES[FLOOR], os.environ["MLFUNC_BASE_IMAGE"], FLOOR_CODE))


def service(name: str, image: str, code: str, **more: object) -> dict[str, Any]:
    """With the same room and patience as ours."""
    asked = {key: RESOURCES[key] for key in ("cpu", "memory")}
    container = {
        "image": image.rpartition("://")[2],
        "command": ["python3", "-c", code],
        "env": [{"name": "ADDRESS", "value": "0.0.0.0"}],
        "resources": {"requests": asked, "limits": RESOURCES["limits"]},
        **more,
    }
    scaling = {
        "autoscaling.knative.dev/window": SCALE["window"],
        "autoscaling.knative.dev/max-scale": str(SCALE["max"]),
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"annotations": scaling},
                "spec": {"containers": [container], "enableServiceLinks": False},
            }
        },
    }


def measure(cluster: Cluster, options: Namespace) -> None:
    hosts = {subject: cluster.host(name) for subject, name in NAMES.items()}
    rounds, phases = [], []
    for order in stats.interleaved(list(NAMES), options.rounds):
        wait_for_zero(cluster)
        rounds.append(one_round(cluster, hosts, order))
        phases.append(start_of_ours(cluster))
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    show(kept, phases)


def wait_for_zero(cluster: Cluster) -> None:
    end = time.monotonic() + PATIENCE
    while live(cluster):
        if time.monotonic() > end:
            raise RuntimeError(f"still pods after {PATIENCE:.0f} s: {live(cluster)}")
        time.sleep(0.5)


def live(cluster: Cluster) -> list[str]:
    """Pods that do not end already."""
    pods = [each["metadata"] for each in cluster.get("pods")]
    return [each["name"] for each in pods if "deletionTimestamp" not in each]


def one_round(cluster: Cluster, hosts: Mapping[str, str], order: list[str]) -> stats.Round:
    from tests.rig.cluster import ask

    spins, values = [], {}
    for subject in order:
        spins.append(stats.spin())
        began = time.perf_counter()
        reply = ask(cluster.ingress, hosts[subject], QUESTION)
        values[subject] = time.perf_counter() - began
        if reply.status != 200 or reply.json()["label"] != "positive":
            raise RuntimeError(f"{subject} answered {reply.status}: {reply.data[:200]!r}")
    return stats.Round(values, statistics.fmean(spins))


def start_of_ours(cluster: Cluster) -> dict[str, float]:
    """The phases of its last start, by its log."""
    (pod,) = (name for name in live(cluster) if name.startswith(NAMES[OURS]))
    lines = map(json.loads, cluster.kubectl("logs", pod, "-c", "user-container").splitlines())
    found: dict[str, float] = next(line["startup"] for line in lines if "startup" in line)
    return found


def show(kept: list[stats.Round], phases: list[dict[str, float]]) -> None:
    rows = []
    for subject in NAMES:
        walls = [each.values[subject] for each in kept]
        times = stats.ratio(kept, subject, OURS)
        rows.append([subject, min(walls), statistics.median(walls), max(walls), times])
    report.table(["back from zero", "s min", "median", "max", "times ours"], rows)
    fastest = min(phases, key=lambda each: each["total"])
    report.table(["seconds of our fastest", *fastest], [[OURS, *fastest.values()]])
    peer, floor = (stats.ratio(kept, OURS, other) for other in (PEER, FLOOR))
    report.claims(
        Claim("back from zero no later than func's middleware", f"{peer:.2f} times", peer <= 1),
        Claim("at most a quarter above the least", f"{floor:.2f} times", floor <= 1.25),
    )


if __name__ == "__main__":
    report.main(main)
