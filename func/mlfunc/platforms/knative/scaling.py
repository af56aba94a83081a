"""How a function is scaled in its cluster: told, and changed without a new revision."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.watching import Topic
from mlfunc.errors import NotFound
from mlfunc.knative import overview, rescaling, traffic
from mlfunc.platforms.knative import inquiring, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.rescaling import State, Wish
    from mlfunc.platforms.knative.addressing import Addressed

_TAKEN_SECONDS = 15.0


@dataclass(frozen=True)
class Scaled:
    """Revisions after a change of their scaling; `template` is what the next one will be told."""

    states: list[State]
    template: Mapping[str, str]


def states(addressed: Addressed, revision: str | None = None) -> list[State]:
    """Of the revisions that requests are routed to, or of one.

    Raises:
        NotFound: there is no such function, or no such revision of it.

    """
    service = reading.service(addressed)
    known, pods = settings(addressed.cluster), reading.pods(addressed)
    found = [
        _state(addressed.cluster, each, _percent(service, each), known)
        for each in _revisions(addressed, service, revision)
    ]
    return [_with_obstacle(each, service, pods) for each in found]


def scale(addressed: Addressed, wish: Wish, revision: str | None = None) -> Scaled:
    """Have the revisions that requests are routed to, or one, scaled otherwise from now on.

    Raises:
        UsageError: bounds would contradict each other; nothing has changed.
        ClusterFailed: the cluster refuses it, or is too old for it.

    """
    cluster, service = addressed.cluster, reading.service(addressed)
    chosen, known = _revisions(addressed, service, revision), settings(cluster)
    rescaling.check_version(inquiring.version(cluster))
    for each in chosen:
        rescaling.policy_of(each, known, wish=wish)
    return Scaled(
        [_rescale(cluster, each, _percent(service, each), wish, known) for each in chosen],
        overview.scaling(overview.template(service)),
    )


def settings(cluster: Cluster) -> Mapping[str, str]:
    """What the cluster's autoscaler goes by; empty, where it may not be looked at: defaults."""
    return inquiring.settings(cluster, "config-autoscaler") or {}


def _revisions(addressed: Addressed, service: Object, named: str | None) -> list[Object]:
    """The one that was named, else those that get requests, else the newest."""
    if named:
        return [reading.revision(addressed, named)]
    routed = dict.fromkeys(each.revision for each in traffic.shares(service) if each.percent)
    return [
        reading.revision(addressed, each) for each in routed or [_newest(addressed.name, service)]
    ]


def _newest(function: str, service: Object) -> str:
    if name := overview.serving(service):
        return name
    raise NotFound(f"{function} has no revision yet", f"mlfunc describe {function}")


def _percent(service: Object, revision: Object) -> int:
    name = revision["metadata"]["name"]
    return sum(each.percent for each in traffic.shares(service) if each.revision == name)


def _state(cluster: Cluster, revision: Object, percent: int, known: Mapping[str, str]) -> State:
    autoscaler = cluster.get(kinds.AUTOSCALER, revision["metadata"]["name"])
    return rescaling.state(revision, autoscaler, percent, known)


def _with_obstacle(state: State, service: Object, pods: Sequence[Object] | None) -> State:
    """What the autoscaler wants, it may not get."""
    why = overview.obstacle(service, state.revision, pods)
    return replace(state, why=why) if why else state


def _rescale(
    cluster: Cluster, revision: Object, percent: int, wish: Wish, known: Mapping[str, str]
) -> State:
    name = revision["metadata"]["name"]
    change = {"metadata": {"annotations": wish.annotations}}
    changed = cluster.patch(kinds.REVISION, name, change)
    return rescaling.state(changed, _taken(cluster, name, wish), percent, known)


def _taken(cluster: Cluster, revision: str, wish: Wish) -> Object:
    """The PodAutoscaler of a revision, once it goes by a wish."""
    topic = Topic(kinds.AUTOSCALER, fields=f"metadata.name={revision}")
    with watching.follow(cluster, topic) as changes:
        for seen in changes.until(time.monotonic() + _TAKEN_SECONDS):
            for each in seen.objects:
                if rescaling.has_taken(each, wish):
                    return each
    raise rescaling.not_taken(revision, _TAKEN_SECONDS)
