"""What becomes of the wanted number: bounds, activation, and the way to no instance at all.

Source: serving pkg/reconciler/autoscaling/kpa/{kpa,scaler}.go. No clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlfunc.knative.autoscaler import Decision, Policy

Phase = Literal["inactive", "activating", "active"]

_LATER = 30.0  # seconds after the progress deadline
_UNKNOWN = -1


@dataclass(frozen=True)
class Standing:
    """Where a revision stands, and since when, in seconds."""

    phase: Phase = "inactive"
    since: float = 0.0
    proxied: float | None = 0.0  # since when the activator is in the way; None: it is not
    initialized: bool = False  # it has had its first instances


def bounded(policy: Policy, want: int, *, initialized: bool = True) -> int:
    """Within min and max; min counts only where a route names the revision."""
    least = policy.minimum if policy.reachable else 0
    if policy.initial > 1 and policy.reachable and not initialized:
        least = max(least, policy.initial)
    return max(least, min(want, policy.maximum) if policy.maximum else want)


def settle(
    policy: Policy, standing: Standing, decision: Decision, ready: int, now: float
) -> tuple[int | None, Standing]:
    """How many instances there shall be (None: as many as there are), and where that leaves it.

    What changes there is looked at anew, until nothing does, as Knative does.
    """
    scale: int | None = None
    while True:
        want = bounded(policy, decision.want, initialized=standing.initialized)
        scale, want = (want, want) if want else _to_zero(policy, standing, now)
        after = _moved(policy, standing, want, ready, now)
        after = _routed(after, decision, want, now)
        if after == standing:
            return scale, after
        standing = after


def _to_zero(policy: Policy, standing: Standing, now: float) -> tuple[int | None, int]:
    """The number that is set, and the one that it is said to want."""
    for_seconds = now - standing.since
    if not policy.to_zero:
        return 1, 1
    if standing.phase == "activating":
        given_up = for_seconds >= policy.progress + _LATER
        return (0, 0) if given_up else (None, _UNKNOWN)
    if standing.phase == "active":
        return (None, 0) if for_seconds >= policy.window else (1, 1)
    return (0, 0) if _may_go(policy, standing, now) else (None, 0)


def _may_go(policy: Policy, standing: Standing, now: float) -> bool:
    """The last instance, once the activator surely gets the requests."""
    inactive = now - standing.since
    if inactive >= max(policy.grace, policy.retention):
        return True
    proxied = standing.proxied is not None and now - standing.proxied >= policy.grace
    return proxied and inactive >= policy.retention


def _moved(policy: Policy, standing: Standing, want: int, ready: int, now: float) -> Standing:
    needed = max(policy.minimum, 1 if standing.initialized else policy.initial)
    standing = replace(standing, initialized=standing.initialized or ready >= needed)
    phase = _phase(standing.phase, want, enough=ready >= needed)
    return standing if phase == standing.phase else replace(standing, phase=phase, since=now)


def _phase(before: Phase, want: int, *, enough: bool) -> Phase:
    if want == 0:
        return "inactive"
    if want < 0 and before == "inactive":
        return before
    return "active" if enough else "activating"


def _routed(standing: Standing, decision: Decision, want: int, now: float) -> Standing:
    if want > 0 and decision.excess >= 0:
        return replace(standing, proxied=None)
    return standing if standing.proxied is not None else replace(standing, proxied=now)
