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

_CLASS = "kpa.autoscaling.knative.dev"
_PARTS = re.compile(r"([\d.]+)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")
# Where an annotation has another name than the setting that it takes the place of.
_SETTINGS = {
    "target": "container-concurrency-target-default",
    "target-utilization-percentage": "container-concurrency-target-percentage",
    "window": "stable-window",
}
_DEFAULTS = {
    "target": "100",
    "target-utilization-percentage": "70",
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
    """What a deployment tells of scaling, without the prefix of all its keys."""
    told = scaling.of(function)
    return {key.removeprefix(names.AUTOSCALING): value for key, value in told.items()}


def of(
    told: Mapping[str, str],
    concurrency: int,
    settings: Mapping[str, str] | None = None,
    *,
    reachable: bool = True,
) -> Policy:
    """Of annotations without their prefix, and the revision's containerConcurrency (0: no bound).

    Raises:
        MlfuncError: another autoscaler decides, or by another metric.

    """
    _check(told)
    given = _merged(told, settings or {})
    return Policy(
        total=_total(told, given, concurrency),
        utilization=_share(given["target-utilization-percentage"]),
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


def seconds(duration: str) -> float:
    """Of a duration as Go writes it: 1m30s."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(duration))


def kebab(told: Mapping[str, str]) -> dict[str, str]:
    """The same annotations by their present names: minScale is an old one of min-scale."""
    return {_CAPITAL.sub(r"-\1", key).lower(): value for key, value in told.items()}


def _check(told: Mapping[str, str]) -> None:
    kind, metric = told.get("class", _CLASS), told.get("metric", "concurrency")
    if kind != _CLASS:
        message = f"it is scaled by {kind}: here, only Knative's own autoscaler is known"
        raise MlfuncError(message, "kubectl get hpa")
    if metric != "concurrency":
        message = f"it is scaled by {metric}: here, only requests at once are known"
        raise MlfuncError(message, f"take the annotation {names.AUTOSCALING}metric away")


def _merged(told: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Each value: the revision's own, else the cluster's, else Knative's."""
    own = kebab(told)
    return {
        key: own.get(key) or settings.get(_SETTINGS.get(key, key)) or default
        for key, default in _DEFAULTS.items()
    }


def _total(told: Mapping[str, str], given: Mapping[str, str], concurrency: int) -> float:
    if not concurrency:
        return float(given["target"])
    return min(float(told["target"]), concurrency) if "target" in told else float(concurrency)


def _share(percentage: str) -> float:
    """The setting may be a fraction, too: 0.7 is 70 %."""
    value = float(percentage)
    return value if value <= 1 else value / 100
