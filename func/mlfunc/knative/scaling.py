"""The annotations that Knative's autoscaler goes by."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from mlfunc.function import seconds
from mlfunc.knative import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.function import Function

_SHORTEST_WINDOW = 6
_HOUR = 3600
_LEAST_TARGET = 0.01
_MOST = 2**31 - 1
_METRIC = names.AUTOSCALING + "metric"
# Percent of its target that an instance has before the next is started. With 70 % of one request,
# a single one would start two.
_HEADROOM, _ONE_BY_ONE = 70, 100


def target(function: Function) -> float:
    """Requests that one instance should have at once: as many as its slots can take."""
    serve = function.serve
    taken = function.scale.target or serve.slots * serve.batch.max_size
    return min(taken, serve.concurrency) if _counts_requests(function) else taken


def of(function: Function) -> dict[str, str]:
    """Annotations, for the template of a revision."""
    scale = function.scale
    found = {
        "min-scale": str(scale.min),
        "max-scale": str(scale.max),
        "target": _number(target(function)),
        "target-utilization-percentage": str(_utilization(function)),
        # Without the activator, requests queue at one pod while others idle.
        "target-burst-capacity": "-1",
        "window": _whole(scale.window),
        "scale-down-delay": _whole(scale.delay),
        "scale-to-zero-pod-retention-period": _whole(scale.retention),
    }
    return {
        names.AUTOSCALING + key: value for key, value in {**found, **_initial(function)}.items()
    }


def present(key: str) -> str:
    """The name that an annotation has now: Knative still reads minScale, too, as min-scale."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"-\1", key).lower()


def problems(function: Function) -> Iterator[str]:
    """What of `scale` is outside of what Knative takes."""
    scale = function.scale
    if not _SHORTEST_WINDOW <= seconds(scale.window) <= _HOUR:
        yield f"scale.window: it is {scale.window}, and must be from 6s to 1h"
    for key in ("delay", "retention"):
        if seconds(getattr(scale, key)) > _HOUR:
            yield f"scale.{key}: it is {getattr(scale, key)}, and must be 1h at most"
    for key in ("min", "max", "initial"):
        if (getattr(scale, key) or 0) > _MOST:
            yield f"scale.{key}: it must be {_MOST} at most"
    if target(function) < _LEAST_TARGET:
        yield f"scale.target: it is {scale.target}, and must be at least {_LEAST_TARGET}"
    if scale.target is None and not _counts_requests(function):
        yield f"deploy.annotations.{_METRIC}: it needs a scale.target of its own unit"


def _utilization(function: Function) -> int:
    return _ONE_BY_ONE if target(function) <= 1 and _counts_requests(function) else _HEADROOM


def _counts_requests(function: Function) -> bool:
    return function.deploy.annotations.get(_METRIC, "concurrency") == "concurrency"


def _initial(function: Function) -> dict[str, str]:
    """A revision that takes the place of another is ready without an instance: requests wait for
    its first, which starts when the other has let go of its accelerator.
    """
    if function.deploy.rollout == "recreate":
        return {"initial-scale": "0", "min-scale": "0"}
    return {"initial-scale": str(function.scale.initial)} if function.scale.initial else {}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _whole(duration: str | float) -> str:
    return f"{math.ceil(seconds(duration))}s"
