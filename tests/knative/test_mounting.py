"""Models that are mounted: from an image of their own, from a claim. Knative's flags for these are
off by default: deploy says so, and with which command an administrator turns them on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.cluster import ended, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.rig.cluster import Cluster

pytestmark = pytest.mark.usefixtures("own_features")

WORDS = '''
class Words:
    """Knows the words of its model."""

    def load(self, context):
        self.words = (context.model("default") / "words.txt").read_text().split()

    def predict(self, n: int) -> str:
        return self.words[n]
'''
_FEATURES = ("-n", "knative-serving", "configmap", "config-features")
IMAGE, CLAIM = "kubernetes.podspec-volumes-image", "kubernetes.podspec-persistent-volume-claim"
_SOURCES: Mapping[str, Mapping[str, Any]] = {
    IMAGE: {"image": {"reference": "example.com/image"}},
    CLAIM: {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
}


@pytest.fixture
def weights(cluster: Cluster) -> str:
    """A claim that has a model's files."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    write = "open('/weights/words.txt', 'w').write('zero one two')"
    container = {
        "name": "writer",
        "image": os.environ["MLFUNC_BASE_IMAGE"].rpartition("://")[2],
        "command": ["python3", "-c", write],
        "volumeMounts": [{"name": "weights", "mountPath": "/weights"}],
    }
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}
    cluster.apply(
        _object("v1", "PersistentVolumeClaim", "weights", spec),
        _object(
            "v1",
            "Pod",
            "writer",
            {"restartPolicy": "Never", "containers": [container], "volumes": [volume]},
        ),
    )
    cluster.kubectl("wait", "pod/writer", "--for=jsonpath={.status.phase}=Succeeded")
    return "weights"


def test_a_model_is_mounted_from_an_image_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "words" / "weights").mkdir(parents=True)
    (tmp_path / "words" / "weights" / "words.txt").write_text("zero one two")
    models = {"default": {"uri": "./weights", "delivery": "volume"}}
    project = cluster.project(tmp_path / "words", WORDS, models=models)

    with feature_off(cluster, IMAGE):
        turn_on(cluster, IMAGE, by=refused(cluster, project))
        cluster.mlfunc("deploy", "--path", project)
        answered = cluster.request("words", {"n": 2})

    assert answered.json() == "two"


def test_a_model_is_mounted_from_a_claim(cluster: Cluster, tmp_path: Path, weights: str) -> None:
    models = {"default": f"pvc://{weights}/"}
    project = cluster.project(tmp_path / "words", WORDS, models=models)

    with feature_off(cluster, CLAIM):
        turn_on(cluster, CLAIM, by=refused(cluster, project))
        cluster.mlfunc("deploy", "--path", project)
        answered = cluster.request("words", {"n": 1})

    assert answered.json() == "one"


def refused(cluster: Cluster, project: Path) -> str:
    """What deploy says to an administrator, and that it has made nothing."""
    said = cluster.mlfunc("deploy", "--path", project, code=7).err
    assert cluster.get("ksvc") == []
    return said


@contextlib.contextmanager
def feature_off(cluster: Cluster, flag: str) -> Iterator[None]:
    """A flag of Knative is off, as by default; it is as it was when the block ends."""
    before = json.loads(cluster.kubectl("get", *_FEATURES, "-o", "json"))["data"].get(flag)
    _set(cluster, flag, None)
    eventually(lambda: not _takes(cluster, flag), f"{flag} is off")
    try:
        yield
    finally:
        _set(cluster, flag, before)


def turn_on(cluster: Cluster, flag: str, *, by: str) -> None:
    """With the command that stands in the text `by`."""
    (command,) = (line for line in by.splitlines() if "kubectl patch" in line and flag in line)
    ended(shlex.split(command[command.index("kubectl") :])).ok()
    eventually(lambda: _takes(cluster, flag), f"{flag} is on")


def _set(cluster: Cluster, flag: str, value: str | None) -> None:
    patch = json.dumps({"data": {flag: value}})
    cluster.kubectl("patch", *_FEATURES, "--type=merge", "-p", patch)


def _takes(cluster: Cluster, flag: str) -> bool:
    """Whether Knative's webhook takes what the flag is for: it hears of a change a moment later."""
    mount = {"name": "model", "mountPath": "/model", "readOnly": True}
    container = {"image": f"example.com/image@sha256:{'0' * 64}", "volumeMounts": [mount]}
    pod = {"containers": [container], "volumes": [{"name": "model", **_SOURCES[flag]}]}
    service = _object("serving.knative.dev/v1", "Service", "probe", {"template": {"spec": pod}})
    command = ["kubectl", "-n", cluster.namespace, "create", "--dry-run=server", "-f", "-"]
    return ended(command, stdin=json.dumps(service)).code == 0


def _object(version: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
