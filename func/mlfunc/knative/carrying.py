"""How many instances of a revision one machine carries, where none but itself can take them. Pure.

A cluster has its scheduler, by which pods wait for nodes that have room. The local platform says it
beforehand: more processes than cores make each of them slower, and all together, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlfunc.knative import names, quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.knative.autoscaler import Policy

Object = dict[str, Any]


@dataclass(frozen=True)
class Bound:
    """So many at the most, and `why`: what there is, and what each asks for."""

    most: int
    why: str


def of(revision: Object, machine: Mapping[str, float]) -> Bound | None:
    """By what an instance asks for, of what the machine has; None: of nothing that it tells.

    One is always carried: the machine may take longer for it, or its limit of memory be met.
    """
    asked = quantities.of_pod(revision)
    bounds = [
        Bound(max(1, int(has / asked[resource])), _why(resource, has, asked[resource]))
        for resource, has in machine.items()
        if asked.get(resource)
    ]
    return min(bounds, key=lambda bound: bound.most, default=None)


def annotated(revision: Object, bound: Bound | None) -> Object:
    """A revision that says so itself, to all who ask how it is scaled."""
    if bound is None:
        return revision
    meta = revision["metadata"]
    told = {names.CARRIED: str(bound.most), names.CARRIED_BY: bound.why}
    annotations = {**(meta.get("annotations") or {}), **told}
    return {**revision, "metadata": {**meta, "annotations": annotations}}


def told(revision: Object) -> Bound | None:
    """What a revision says of it."""
    annotations = revision["metadata"].get("annotations") or {}
    if names.CARRIED not in annotations:
        return None
    return Bound(int(annotations[names.CARRIED]), annotations.get(names.CARRIED_BY, ""))


def bounding(revision: Object, maximum: int) -> Bound | None:
    """The same, where it is less than a maximum of its own; 0: that has no bound."""
    bound = told(revision)
    return None if bound is None or 0 < maximum <= bound.most else bound


def within(policy: Policy, bound: Bound | None) -> Policy:
    """The policy as far as the machine carries it; `min`, which somebody has asked for, holds."""
    if bound is None:
        return policy
    most = min(policy.maximum or bound.most, bound.most)
    return replace(policy, maximum=most, initial=min(policy.initial, most))


def _why(resource: str, has: float, asked: float) -> str:
    shown = quantities.shown(resource, has)
    unit = "of memory" if resource == "memory" else "core" if has == 1 else "cores"
    each = quantities.shown(resource, asked)
    return f"this machine has {shown} {unit}, and each instance asks for {each}"
