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
    return {
        names.AUTOSCALING + key: value for key, value in {**found, **_initial(function)}.items()
    }


def _initial(function: Function) -> dict[str, str]:
    """A revision that takes the place of another is ready without an instance: requests wait for
    its first, which starts when the other has let go of its accelerator.
    """
    if function.deploy.rollout == "recreate":
        return {"initial-scale": "0", "min-scale": "0"}
    return {"initial-scale": str(function.scale.initial)} if function.scale.initial else {}


def _whole(duration: str | float) -> str:
    return f"{math.ceil(seconds(duration))}s"
