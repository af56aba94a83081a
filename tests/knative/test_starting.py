"""How long a function takes from source to its first prediction, and from no instance to one."""

from __future__ import annotations

import contextlib
import json
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
    marks = Marks()
    shared.mlfunc("build", "--path", sample)
    marks.done("resolved, built and pushed")
    shared.mlfunc("deploy", "--path", sample)
    marks.done("deployed: pulled, started, ready")
    answered = shared.request("similarity", _ASKED)
    marks.done("first prediction")

    figure(f"similarity, from source: {marks}")
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


class Marks:
    """Seconds between one thing done and the next."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._took: list[str] = []

    def done(self, what: str) -> None:
        now = time.monotonic()
        self._took.append(f"{what} {now - self._last:.1f} s")
        self._last = now

    def __str__(self) -> str:
        return ", ".join(self._took)


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
