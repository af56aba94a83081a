"""How long a pod took to start, and on what: its own times, and what the runtime in it measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlfunc import loglines
from mlfunc.knative import diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Object = dict[str, Any]


@dataclass(frozen=True)
class ColdStart:
    """Seconds. Kubernetes counts in whole ones: `scheduling` and `starting` are that coarse.

    `starting` is images, volumes and the container; `runtime` what the runtime measured.
    """

    pod: str
    scheduling: float
    starting: float
    runtime: Mapping[str, float]

    def __str__(self) -> str:
        """As people read it."""
        told = (("scheduling", self.scheduling), ("starting", self.starting))
        outside = [f"{name} {seconds:.0f} s" for name, seconds in told if round(seconds)]
        return ", then ".join(filter(None, (", ".join(outside), loglines.startup(self.runtime))))

    @property
    def total(self) -> float:
        """From the pod's creation until the function was ready."""
        return round(self.scheduling + self.starting + self.runtime.get("total", 0.0), 3)


def of(pod: Object, log: Iterable[str]) -> ColdStart | None:
    """What a pod and its log show; None as long as it has not become ready."""
    runtime = _measured(log)
    began = _time(pod["metadata"]["creationTimestamp"])
    scheduled = diagnosis.condition(pod, "PodScheduled").get("lastTransitionTime")
    state = diagnosis.user_container(pod).get("state", {})
    started = state.get("running", {}).get("startedAt")
    if runtime is None or scheduled is None or started is None:
        return None
    at = _time(scheduled)
    return ColdStart(
        pod["metadata"]["name"], _seconds(began, at), _seconds(at, _time(started)), runtime
    )


def _measured(log: Iterable[str]) -> Mapping[str, float] | None:
    """Of the line by which the runtime says that it is ready."""
    for line in log:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("phase") == "ready":
            return {name: float(value) for name, value in told.get("startup", {}).items()}
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _seconds(begin: datetime, end: datetime) -> float:
    # A clock that is read by several machines can run backwards.
    return max(0.0, (end - begin).total_seconds())
