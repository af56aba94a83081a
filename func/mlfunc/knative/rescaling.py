"""A revision scaled by hand: what it is told anew, and what its PodAutoscaler makes of it. Pure.

Since Knative 1.21, annotations of a Revision that change reach its PodAutoscaler. Before, only a
new revision, which loads its model anew, is scaled otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mlfunc.errors import ClusterFailed, UsageError
from mlfunc.function import Scale
from mlfunc.knative import carrying, diagnosis, names, overview, policies, versions
from mlfunc.knative.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.carrying import Bound

Object = dict[str, Any]

SINCE = (1, 21)
_IN_YAML = "write it under `scale` in mlfunc.yaml and deploy: that makes a new revision"


@dataclass(frozen=True)
class Wish:
    """What shall be otherwise; None: as it is."""

    min: int | None = None
    max: int | None = None
    target: float | None = None

    @property
    def annotations(self) -> dict[str, str]:
        """As Knative has it, with its prefix."""
        target = None if self.target is None else f"{self.target:.15g}"
        given = {"min-scale": self.min, "max-scale": self.max, "target": target}
        return {
            names.AUTOSCALING + key: str(value) for key, value in given.items() if value is not None
        }

    def upon(self, told: Mapping[str, str]) -> dict[str, str]:
        """The annotations of a revision, without prefix, as this changes them.

        Raises:
            UsageError: its bounds would contradict each other.

        """
        merged = {**policies.kebab(told), **_bare(self.annotations)}
        _check(int(merged.get("min-scale", 0)), int(merged.get("max-scale", 0)))
        return merged

    def replacing(self, scale: Scale) -> Scale:
        """The block of mlfunc.yaml, as this changes it.

        Raises:
            UsageError: its bounds would contradict each other.

        """
        least = scale.min if self.min is None else self.min
        most = scale.max if self.max is None else self.max
        target = scale.target if self.target is None else self.target
        _check(least, most)
        return msgspec.structs.replace(scale, min=least, max=most, target=target)


def _check(least: int, most: int) -> None:
    """Bounds, as those of mlfunc.yaml are checked."""
    try:
        Scale(min=least, max=most)
    except ValueError as error:
        hint = "give both --min and --max; --max 0 sets no bound"
        raise UsageError(f"scale: {error}", hint) from error


def _bare(annotations: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(names.AUTOSCALING): value for key, value in annotations.items()}


def check_version(version: str) -> None:
    """Whether Knative of that version scales a revision that is there; one that is not told may.

    Raises:
        ClusterFailed: it does not.

    """
    if versions.is_before(version, SINCE):
        message = f"Knative {version} scales a revision as it was made; since 1.21 it can change"
        raise ClusterFailed(message, _IN_YAML)


def not_taken(revision: str, seconds: float) -> ClusterFailed:
    """Its PodAutoscaler stays as it was."""
    message = (
        f"{revision} is annotated, but after {seconds:g} s its PodAutoscaler is not:"
        " Knative before 1.21 takes no changes"
    )
    return ClusterFailed(message, _IN_YAML)


def has_taken(autoscaler: Object, wish: Wish) -> bool:
    """Whether a PodAutoscaler goes by it."""
    told = autoscaler["metadata"].get("annotations") or {}
    return all(told.get(key) == value for key, value in wish.annotations.items())


def differing(wish: Wish, template: Mapping[str, str]) -> dict[str, str | None]:
    """What a wish set otherwise than a template, by whose annotations the next revision goes.

    By the keys of `scale` in mlfunc.yaml.
    """
    told = policies.kebab(template)
    return {
        key.removesuffix("-scale"): told.get(key)
        for key, value in _bare(wish.annotations).items()
        if told.get(key) != value
    }


def notes(state: State, wish: Wish) -> list[str]:
    """Why a wish does not do all that it seems to."""
    found = []
    if not state.policy.reachable:
        found.append(f"no requests are routed to {state.revision}: min counts once some are")
    if wish.target is not None and state.policy.total < wish.target:
        taken = f"{counted(state.policy.total)} at once"
        found.append(f"{state.revision} takes {taken}: that is its target, too")
    if wish.max is not None and state.bound:
        found.append(f"there are at most {state.bound.most} here: {state.bound.why}")
    return found


@dataclass(frozen=True)
class State:
    """How a revision is scaled now; `why` it has so many instances, in words."""

    revision: str
    percent: int
    instances: int
    wanted: int
    policy: Policy
    why: str
    bound: Bound | None = None  # of its machine, where that is less than max


def state(
    revision: Object, autoscaler: Object | None, percent: int, settings: Mapping[str, str]
) -> State:
    """What a revision and its PodAutoscaler show; `percent` of the requests are routed to it."""
    told = (autoscaler or {}).get("status", {})
    reachable = (autoscaler or {}).get("spec", {}).get("reachability") != "Unreachable"
    policy = _policy(revision, settings, reachable=reachable)
    bound = carrying.bounding(revision, policy.maximum)
    wanted = told.get("desiredScale", 0)
    return State(
        revision=revision["metadata"]["name"],
        percent=percent,
        instances=told.get("actualScale", 0),
        wanted=wanted,
        policy=policy,
        why=_bounded(bound, policy, wanted)
        or _why(autoscaler or {}, policy, wanted, policies.measure(overview.scaling(revision))),
        bound=bound,
    )


def policy_of(
    revision: Object,
    settings: Mapping[str, str],
    *,
    reachable: bool = True,
    wish: Wish | None = None,
) -> Policy:
    """What the autoscaler goes by for a revision, or would after a wish."""
    found = _policy(revision, settings, reachable=reachable, wish=wish)
    return carrying.within(found, carrying.told(revision))


def _policy(
    revision: Object,
    settings: Mapping[str, str],
    *,
    reachable: bool = True,
    wish: Wish | None = None,
) -> Policy:
    """As it is told, whatever its machine carries."""
    told = overview.scaling(revision)
    concurrency = revision["spec"].get("containerConcurrency") or 0
    return policies.of(
        wish.upon(told) if wish else told, concurrency, settings, reachable=reachable
    )


def _bounded(bound: Bound | None, policy: Policy, wanted: int) -> str:
    """Why there are no more, if it is for that: as many as `min` are there for `min`."""
    return bound.why if bound and wanted == bound.most > policy.minimum else ""


def _why(autoscaler: Object, policy: Policy, wanted: int, measure: str) -> str:
    active = diagnosis.condition(autoscaler, "Active")
    if not autoscaler:
        return "its PodAutoscaler is not there yet"
    if not policy.reachable:
        return "no requests are routed to it"
    if active.get("status") == "Unknown":
        return "an instance starts; requests wait for it"
    if wanted == policy.minimum > 0:
        return "min keeps them"
    if wanted <= 0:
        return f"no requests since {active.get('lastTransitionTime', 'it is there')}"
    if wanted == policy.maximum:
        return "max allows no more"
    return _by_load(policy, wanted, measure)


def _by_load(policy: Policy, wanted: int, measure: str) -> str:
    """What a number of instances says of the load, by the formula that it comes from."""
    target = policy.target
    span = f"{(wanted - 1) * target:g} to {wanted * target:g} {measure}"
    return f"{span}, on average of {policy.window:g} s or in a burst within them"
