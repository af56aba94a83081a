"""Instances whose function was started again: how often, when, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.knative import crashes, diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]


@dataclass(frozen=True)
class Restart:
    """The last one of an instance, of so many; `time` is when it had ended."""

    pod: str
    count: int
    time: str
    reason: str


def of(pods: Iterable[Object]) -> list[Restart]:
    """Those of pods that are there still."""
    last = ((pod, diagnosis.user_container(pod)) for pod in pods)
    return [_restart(pod, container) for pod, container in last if container.get("restartCount")]


def _restart(pod: Object, container: Object) -> Restart:
    ended = container.get("lastState", {}).get("terminated") or {}
    return Restart(
        pod=pod["metadata"]["name"],
        count=container["restartCount"],
        time=ended.get("finishedAt", ""),
        reason=crashes.reason(ended) if ended else "",
    )
