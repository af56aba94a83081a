"""How long a function takes from source to its first prediction, and from no instance to one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rig.cluster import Cluster

_SAMPLE = Path(__file__).parents[2] / "samples" / "similarity"
_ASKED = {"text": "a happy dog"}
_ANSWER = "The puppy wags its tail with joy."
# torch wants memory; both cores, while it starts.
_LARGE = {"cpu": "100m", "memory": "512Mi", "limits": {"cpu": "2", "memory": "1536Mi"}}


@pytest.fixture(scope="module")
def sample(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """samples/similarity as it is, with little appetite, and gone after six idle seconds."""
    folder = tmp_path_factory.mktemp("starting") / "similarity"
    predictor = (_SAMPLE / "predictor.py").read_text(encoding="utf-8")
    told = yaml.safe_load((_SAMPLE / "mlfunc.yaml").read_text(encoding="utf-8"))
    scale = {"max": 1, "window": "6s"}
    shared.project(
        folder, predictor, config=told["config"], serve=told["serve"], resources=_LARGE, scale=scale
    )
    shutil.copy(_SAMPLE / "requirements.txt", folder)
    return folder


def test_a_sample_goes_from_source_to_its_first_prediction(
    shared: Cluster, sample: Path, figure: Callable[[str], None]
) -> None:
    took = phases(shared, "deploy", "--path", sample)
    asked = time.monotonic()
    answered = shared.request("similarity", _ASKED)
    took["first prediction"] = time.monotonic() - asked

    shown = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in took.items())
    figure(f"similarity, from source in {sum(took.values()):.0f} s: {shown}")
    assert answered.json()[0]["sentence"] == _ANSWER


def test_a_function_goes_to_zero_and_comes_back_with_its_first_request(
    shared: Cluster, sample: Path, figure: Callable[[str], None]
) -> None:
    shared.mlfunc("deploy", "--path", sample)
    ended = time.monotonic()
    eventually(lambda: _live(shared) == [], "there is no instance")
    idle = time.monotonic() - ended

    with watched(shared) as seen:
        asked = time.time()
        answered = shared.request("similarity", _ASKED)
        total = time.time() - asked
        (pod,) = _live(shared)
        ready = _ready(shared, pod)

    phases = ready["startup"]
    began = _seconds(ready["time"]) - phases["total"]
    split = {
        "pod is there": seen[pod, "created"] - asked,
        "scheduled": seen[pod, "scheduled"] - seen[pod, "created"],
        "container started": began - seen[pod, "scheduled"],
        **{phase: took for phase, took in phases.items() if phase != "total"},
        "first answer": total - (began + phases["total"] - asked),
    }
    shown = ", ".join(f"{phase} {took:.2f}" for phase, took in split.items())
    figure(f"similarity, to zero {idle:.0f} s after its deployment; back in {total:.2f} s: {shown}")
    assert answered.json()[0]["sentence"] == _ANSWER


def phases(cluster: Cluster, *args: str | Path) -> dict[str, float]:
    """Seconds of each phase of a command that ends well, by the lines that it writes meanwhile."""
    command, env = [cluster.command, *args], {**os.environ, "MLFUNC_HOME": str(cluster.home)}
    took: dict[str, float] = {}
    phase, began, said = "start of the command", time.monotonic(), ""
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            said += line
            if line.endswith(" ...\n"):
                now = time.monotonic()
                took[phase] = took.get(phase, 0.0) + now - began
                phase, began = line.removesuffix(" ...\n"), now
    assert process.returncode == 0, said
    return {**took, phase: time.monotonic() - began}


@contextlib.contextmanager
def watched(cluster: Cluster) -> Iterator[dict[tuple[str, str], float]]:
    """When each pod was first seen to be created and scheduled, as kubectl watches them."""
    shown = '{.metadata.name} {.spec.nodeName}{"\\n"}'
    command = ["kubectl", "-n", cluster.namespace, "get", "pods", "-w", "-o", f"jsonpath={shown}"]
    seen: dict[tuple[str, str], float] = {}

    def read(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            pod, *node = line.split()
            for what in ("created", *(["scheduled"] if node else [])):
                seen.setdefault((pod, what), time.time())

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=read, args=(process,))
        reader.start()
        try:
            yield seen
        finally:
            process.terminate()
            reader.join()


def _live(cluster: Cluster) -> list[str]:
    """The pods that do not end already."""
    found = cluster.pods("similarity")
    return [
        each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]
    ]


def _ready(cluster: Cluster, pod: str) -> dict[str, Any]:
    """The line of its log that says how it started."""
    lines = map(json.loads, cluster.kubectl("logs", pod, "-c", "user-container").splitlines())
    found: dict[str, Any] = next(each for each in lines if each.get("phase") == "ready")
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
