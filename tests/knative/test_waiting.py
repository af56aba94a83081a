"""What cannot start on a real cluster is told at once, and what may yet start is waited for."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlfunc.cluster import client
from mlfunc.errors import ClusterFailed
from mlfunc.platforms.knative import waiting

from tests.knative.conftest import GREETER
from tests.rig.cluster import ended, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.rig.cluster import Cluster

BROKEN = f"import nothere\n{GREETER}"
LOADING = GREETER.replace("    example", "    def load(self):\n        BODY\n\n    example")
GREEDY = LOADING.replace("BODY", "self.weights = b'1' * 2**30")
SLOW = LOADING.replace("BODY", "import time; print('shard 1 of 9', flush=True); time.sleep(9)")
NEURON = "/status/capacity/aws.amazon.com~1neuron"


@pytest.fixture(scope="module")
def greeter(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function that serves; tests break it."""
    folder = tmp_path_factory.mktemp("waiting") / "greeter"
    shared.project(folder, GREETER)
    shared.mlfunc("deploy", "--path", folder)
    return folder


@pytest.fixture(scope="module")
def manifest(shared: Cluster, greeter: Path) -> dict[str, Any]:
    """Of that function, to be applied under other names and with other faults."""
    shown = shared.mlfunc("deploy", "--path", greeter, "--dry-run", "-o", "yaml").out
    found: dict[str, Any] = next(iter(yaml.safe_load_all(shown)))
    return found


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.details: list[str] = []

    def phase(self, name: str) -> None:
        if name not in self.phases:
            self.phases.append(name)

    def said(self, text: str) -> None:
        self.details.append(text)


def test_a_crash_is_told_with_the_traceback_while_the_old_revision_serves_on(
    shared: Cluster, greeter: Path, figure: Callable[[str], None]
) -> None:
    shared.project(greeter, BROKEN)
    failed = shared.mlfunc("deploy", "--path", greeter, code=7)
    at = datetime.now(UTC)

    assert "ModuleNotFoundError: No module named 'nothere'" in failed.err
    assert 'File "/workspace/predictor.py", line 1, in <module>' in failed.err
    assert "predictor.py needs nothere, which is not installed" in failed.err
    assert "add the package that has nothere to requirements.txt" in failed.err
    newest = shared.get("ksvc", "greeter")["status"]["latestCreatedRevisionName"]
    assert f"{newest}: the function does not start" in failed.err
    assert "greeter-00001 serves on" in failed.err
    assert shared.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    passed = (at - _taken(shared, newest)).total_seconds()
    figure(f"crash: told {passed:.1f} s after a node took the pod, before the first crash")
    assert passed < 15


def test_a_function_that_needs_more_memory_than_its_limit_is_told_so(
    shared: Cluster, tmp_path: Path
) -> None:
    project = shared.project(tmp_path / "greedy", GREEDY)

    failed = shared.mlfunc("deploy", "--path", project, code=7)

    assert "killed while loading: it needs more memory than its limit of 512Mi" in failed.err
    assert "raise `resources.memory`" in failed.err


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"image": "absent"}, "it is not there"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}]},
            "there is no secret no",
        ),
        ({"resources": {"requests": {"example.com/none": 1}}}, "it has no example.com/none"),
        ({"command": ["/no/such/program"]}, "its container cannot be started"),
        ({"command": ["python", "-c", "import ctypes; ctypes.string_at(0)"]}, "SIGSEGV"),
    ],
    ids=["image", "secret", "node", "program", "signal"],
)
def test_what_cannot_start_is_told_at_once(
    shared: Cluster, manifest: dict[str, Any], fault: dict[str, Any], message: str
) -> None:
    told = Told()
    _apply(shared, manifest, "faulty", fault)
    cluster = client.connect(namespace=shared.namespace)
    service = shared.get("ksvc", "faulty")

    began = time.monotonic()
    with pytest.raises(ClusterFailed) as failed:
        waiting.wait(cluster, service, timeout=60, watcher=told)

    assert message in failed.value.message
    assert failed.value.hint
    assert time.monotonic() - began < 55
    shared.kubectl("delete", "ksvc", "faulty")


def test_a_pod_that_waits_for_a_device_starts_when_a_node_has_it(
    shared: Cluster, tmp_path: Path
) -> None:
    project = shared.project(tmp_path / "inferring", GREETER, accelerator="neuron")

    refused = shared.mlfunc("deploy", "--path", project, code=7)
    with _device(shared):
        deployed = shared.mlfunc("deploy", "--path", project)

        assert "1 of 1 aws.amazon.com/neuron are free" in deployed.err
        assert shared.request("inferring", {"name": "Ada"}).json() == "Hello Ada"
        shared.kubectl("delete", "ksvc", "inferring")

    assert "no node has aws.amazon.com/neuron; nodes have: " in refused.err
    assert "pushing" not in refused.err


@pytest.mark.parametrize(
    ("keys", "message", "fix"),
    [
        ({"resources": {"memory": "9Ti"}}, "no node can take an instance", "`resources`"),
        (
            {"env": {"TOKEN": {"secret": "absent", "key": "token"}}},
            "there is no Secret absent",
            "kubectl create secret generic absent",
        ),
        (
            {"volumes": [{"path": "/c", "configMap": "absent"}]},
            "there is no ConfigMap absent",
            "kubectl create configmap absent",
        ),
        (
            {"events": {"subscriptions": [{"broker": "absent", "filter": {"type": "asked"}}]}},
            "no Broker absent",
            "kn broker",
        ),
        (
            {"serve": {"timeout": "2h"}},
            "in this cluster, and this function needs 7230",
            "config-defaults",
        ),
        ({"namespace": "no-such-namespace"}, "there is no namespace", "kubectl create namespace"),
    ],
    ids=["memory", "secret", "volume", "broker", "timeout", "namespace"],
)
def test_what_the_cluster_cannot_give_is_refused_before_anything_is_built(
    shared: Cluster, tmp_path: Path, keys: dict[str, Any], message: str, fix: str
) -> None:
    project = shared.project(tmp_path / "refused", GREETER, **keys)

    refused = shared.mlfunc("deploy", "--path", project, code=7)

    assert message in refused.err
    assert fix in refused.err
    assert "resolving" not in refused.err


def test_the_quota_of_a_namespace_that_has_no_room_is_told(
    cluster: Cluster, manifest: dict[str, Any]
) -> None:
    cluster.kubectl("create", "quota", "small", "--hard=requests.cpu=10m")
    _apply(cluster, manifest, "greeter", {})
    service = cluster.get("ksvc", "greeter")

    with pytest.raises(ClusterFailed, match="exceeded quota: small") as failed:
        waiting.wait(
            client.connect(namespace=cluster.namespace), service, timeout=60, watcher=Told()
        )

    assert "kubectl describe resourcequota" in failed.value.hint


def test_what_takes_too_long_is_told_with_the_phase_it_is_in(
    shared: Cluster, tmp_path: Path
) -> None:
    project = shared.project(tmp_path / "stuck", SLOW.replace("sleep(9)", "sleep(600)"))

    late = shared.mlfunc("deploy", "--path", project, "--timeout", "20", code=7)

    assert re.search(r"stuck-00001 is not ready after \d+ s: it is still loading", late.err)
    assert "(shard 1 of 9)" in late.err
    assert "mlfunc logs stuck" in late.err
    shared.kubectl("delete", "ksvc", "stuck", "--wait=false")


def test_a_user_of_one_namespace_deploys_without_a_look_at_the_cluster(
    shared: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes, settings and other namespaces are not theirs to read."""
    _log_in_as(shared, "tenant", tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    project = shared.project(tmp_path / "modest", GREETER)

    assert shared.mlfunc("deploy", "--path", project, "-o", "json").data["ready"]


def _taken(shared: Cluster, revision: str) -> datetime:
    """When a node took the first pod of a revision: before it could crash."""
    pods = shared.get("pods", labels=f"serving.knative.dev/revision={revision}")
    return datetime.fromisoformat(min(each["status"]["startTime"] for each in pods))


def _apply(cluster: Cluster, manifest: dict[str, Any], name: str, fault: dict[str, Any]) -> None:
    own = json.loads(json.dumps(manifest))
    own["metadata"].update(name=name, namespace=cluster.namespace)
    container = own["spec"]["template"]["spec"]["containers"][0]
    image = container["image"].partition("@")[0]
    container.update(fault)
    if fault.get("image"):
        container["image"] = f"{image}@sha256:{'0' * 64}"
    if "resources" in fault:
        container["resources"]["limits"] = container["resources"]["requests"]
    cluster.apply(own)


class _device:
    """A node that says it has a Neuron device."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._node = cluster.get("nodes")[0]["metadata"]["name"]

    def __enter__(self) -> None:
        self._patch({"op": "add", "path": NEURON, "value": "1"})
        eventually(self._is_there, "a Neuron device on the node")

    def __exit__(self, *_: object) -> None:
        self._patch({"op": "remove", "path": NEURON})

    def _patch(self, operation: dict[str, str]) -> None:
        patch = json.dumps([operation])
        self._cluster.kubectl(
            "patch", "node", self._node, "--subresource=status", "--type=json", "-p", patch
        )

    def _is_there(self) -> bool:
        node = self._cluster.get("nodes", self._node)
        return bool(node["status"]["allocatable"].get("aws.amazon.com/neuron") == "1")


def _log_in_as(cluster: Cluster, account: str, path: Path) -> None:
    """A kubeconfig of an account that may edit one namespace."""
    cluster.kubectl("create", "serviceaccount", account)
    who = f"--serviceaccount={cluster.namespace}:{account}"
    cluster.kubectl("create", "rolebinding", account, "--clusterrole=edit", who)
    token = cluster.kubectl("create", "token", account).strip()
    raw = ended(["kubectl", "config", "view", "--raw", "--minify", "-o", "json"]).ok().data
    raw["users"] = [{"name": account, "user": {"token": token}}]
    for each in raw["contexts"]:
        each["context"]["user"] = account
    path.write_text(json.dumps(raw), encoding="utf-8")
