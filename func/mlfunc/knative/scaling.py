"""The annotations that Knative's autoscaler goes by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlfunc.function import seconds
from mlfunc.knative import names

if TYPE_CHECKING:
    from mlfunc.function import Function


def target(function: Function) -> float:
    """Requests that one instance should have at once: as many as its slots can take."""
    serve = function.serve
    taken = function.scale.target or serve.slots * serve.batch.max_size
    return min(taken, serve.concurrency)


def of(function: Function) -> dict[str, str]:
    """Annotations, for the template of a revision."""
    scale = function.scale
    found = {
        "min-scale": str(scale.min),
        "max-scale": str(scale.max),
        "target": f"{target(function):g}",
        # Without the activator, requests queue at one pod while others idle.
        "target-burst-capacity": "-1",
        "window": _whole(scale.window),
        "scale-down-delay": _whole(scale.delay),
        "scale-to-zero-pod-retention-period": _whole(scale.retention),
    }
    initial = {"initial-scale": str(scale.initial)} if scale.initial else {}
    return {names.AUTOSCALING + key: value for key, value in {**found, **initial}.items()}


def _whole(duration: str | float) -> str:
    return f"{math.ceil(seconds(duration))}s"
