"""What the autoscaler is told of a revision -> its `Policy`.

Source: serving pkg/apis/autoscaling, pkg/reconciler/autoscaling/resources/target.go and the
ConfigMap config-autoscaler, whose data are the `settings` here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError
from mlfunc.knative import names, scaling
from mlfunc.knative.autoscaler import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.function import Function

_AT_ONCE = "requests at once"
_RATE = 200  # a second, in one instance
_CLASS = "kpa.autoscaling.knative.dev"
_PARTS = re.compile(r"([\d.]+)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# Where an annotation has another name than the setting that it takes the place of.
_SETTINGS = {
    "target": "container-concurrency-target-default",
    "window": "stable-window",
}
_PERCENTAGE = 70
_DEFAULTS = {
    "target": "100",
    "window": "60s",
    "min-scale": "0",
    "max-scale": "0",
    "initial-scale": "1",
    "activation-scale": "1",
    "scale-down-delay": "0s",
    "scale-to-zero-pod-retention-period": "0s",
    "scale-to-zero-grace-period": "30s",
    "target-burst-capacity": "211",
    "panic-window-percentage": "10",
    "panic-threshold-percentage": "200",
    "max-scale-up-rate": "1000",
    "max-scale-down-rate": "2",
    "enable-scale-to-zero": "true",
    "metric-aggregation-algorithm": "linear",
}


def of_function(function: Function) -> Policy:
    """Of a revision as a deployment would make it, in a cluster that has Knative's defaults."""
    return of(told_of(function), function.serve.concurrency)


def told_of(function: Function) -> dict[str, str]:
    """What a deployment tells of scaling, in the end, without the prefix of all its keys."""
    told = {**function.deploy.annotations, **scaling.of(function)}
    own = {
        key.removeprefix(names.AUTOSCALING): value
        for key, value in told.items()
        if key.startswith(names.AUTOSCALING)
    }
    # With `rollout: recreate` a revision is made with none, and gets its own at the swap.
    return {**own, "min-scale": str(function.scale.min)}


def of(
    told: Mapping[str, str],
    concurrency: int,
    settings: Mapping[str, str] | None = None,
    *,
    reachable: bool = True,
) -> Policy:
    """Of annotations without their prefix, and of containerConcurrency (0: no bound)."""
    given = _merged(told, settings or {})
    return Policy(
        total=_total(told, given, concurrency),
        utilization=_utilization(told, settings or {}),
        window=seconds(given["window"]),
        panic_window=float(given["panic-window-percentage"]) / 100,
        panic_threshold=float(given["panic-threshold-percentage"]) / 100,
        up_rate=float(given["max-scale-up-rate"]),
        down_rate=float(given["max-scale-down-rate"]),
        minimum=int(given["min-scale"]),
        maximum=int(given["max-scale"]),
        initial=int(given["initial-scale"]),
        activation=int(given["activation-scale"]),
        delay=seconds(given["scale-down-delay"]),
        retention=seconds(given["scale-to-zero-pod-retention-period"]),
        grace=seconds(given["scale-to-zero-grace-period"]),
        burst_capacity=float(given["target-burst-capacity"]),
        reachable=reachable,
        to_zero=given["enable-scale-to-zero"].lower() == "true",
        fading=given["metric-aggregation-algorithm"] != "linear",
    )


def measure(told: Mapping[str, str]) -> str:
    """What is counted: `requests at once`, as long as nobody has said otherwise."""
    metric = told.get("metric", "concurrency")
    if told.get("class", _CLASS) != _CLASS:
        return f"{metric}, which {told['class']} counts"
    return {"concurrency": _AT_ONCE, "rps": "requests a second"}.get(metric, metric)


def check(told: Mapping[str, str]) -> None:
    """Whether the decisions that are told here are those of a revision.

    Raises:
        MlfuncError: another autoscaler decides, or by another measure.

    """
    if (counted := measure(told)) != _AT_ONCE:
        message = f"it is scaled by {counted}: here, only requests at once can be explained"
        raise MlfuncError(message, f"take away the annotations {names.AUTOSCALING}class and metric")


def seconds(duration: str) -> float:
    """Of a duration as Go writes it: 1m30s."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(duration))


def kebab(told: Mapping[str, str]) -> dict[str, str]:
    """The same annotations by their present names."""
    return {scaling.present(key): value for key, value in told.items()}


def _merged(told: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Each value: the revision's own, else the cluster's, else Knative's."""
    own = kebab(told)
    return {
        key: own.get(key) or settings.get(_SETTINGS.get(key, key)) or default
        for key, default in _DEFAULTS.items()
    }


def _total(told: Mapping[str, str], given: Mapping[str, str], concurrency: int) -> float:
    if measure(told) == "requests a second":
        return float(told.get("target", _RATE))
    if not concurrency or measure(told) != _AT_ONCE:
        return float(given["target"])
    return min(float(told["target"]), concurrency) if "target" in told else float(concurrency)


def _utilization(told: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """Of the cluster, it may be a fraction as well as a percentage."""
    own = kebab(told).get("target-utilization-percentage")
    common = float(settings.get("container-concurrency-target-percentage", _PERCENTAGE))
    return float(own) / 100 if own else common if common <= 1 else common / 100
