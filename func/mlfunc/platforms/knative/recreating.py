"""A new revision in place of the old one, for accelerators of which there is no second.

A new revision that needs none to be ready gets the requests at once: the activator holds them. The
old one, which nobody reaches any more, goes, and lets go of its accelerator; the new one starts.
Where it does not, the old one gets the requests back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed
from mlfunc.knative import names, overtaking, overview, traffic
from mlfunc.platforms.knative import observing, routing, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.platforms.knative.waiting import Watcher

# The shortest window there is: an old revision that nobody reaches goes so soon. One that has a tag
# is still reached: its least counts.
_WINDOW = {"window": "6s", "scale-down-delay": "0s"}
_LEAVING = {**_WINDOW, "scale-to-zero-pod-retention-period": "0s", "min-scale": "0"}


class Waited(TypedDict):
    """For what, how long, and who is told."""

    timeout: float | None
    watcher: Watcher


@dataclass(frozen=True)
class Held:
    """A revision that has the accelerator, and how it was scaled: None, where nothing was said."""

    revision: str
    percent: int
    scaling: dict[str, str | None]


def let_go(cluster: Cluster, live: Object) -> tuple[Held, ...]:
    """Have the revisions that serve now go as soon as nobody reaches them."""
    held = tuple(_held(cluster, *each) for each in serving(live).items())
    for each in held:
        _annotate(cluster, each.revision, _LEAVING)
    return held


def take_back(cluster: Cluster, held: Sequence[Held]) -> None:
    """Have them scaled as they were before."""
    for each in held:
        _annotate(cluster, each.revision, each.scaling)


def start(
    cluster: Cluster,
    function: Function,
    service: Object,
    held: Sequence[Held],
    timeout: float | None,
    watcher: Watcher,
) -> Object:
    """Have the new revision start, once it is routed to; give the requests back where it fails.

    Raises:
        Left: the user waits no longer; it keeps the requests.
        Overtaken: another has them now, which somebody else deployed.
        ClusterFailed: it does not start.

    """
    at: Waited = {"timeout": timeout, "watcher": watcher}
    try:
        routed = waiting.wait(cluster, service, **at)
        _have_one(cluster, routed, function, at)
    except (waiting.Left, waiting.Overtaken):
        raise
    except ClusterFailed as error:
        message = error.message + _return(cluster, service, held)
        raise ClusterFailed(message, error.hint, evidence=error.evidence) from error
    for each in held:
        # With its retention and its least, Knative would start what it has stopped.
        kept = {key: value for key, value in each.scaling.items() if key in _WINDOW}
        _annotate(cluster, each.revision, kept)
    return waiting.wait(cluster, service, **at)


def serving(live: Object) -> dict[str, int]:
    """The revisions that get requests, with their percent."""
    found: dict[str, int] = {}
    for each in traffic.shares(live):
        if each.percent:
            found[each.revision] = found.get(each.revision, 0) + each.percent
    return found


def _held(cluster: Cluster, revision: str, percent: int) -> Held:
    told = overview.scaling(cluster.get(kinds.REVISION, revision) or {})
    return Held(revision, percent, {key: told.get(key) for key in _LEAVING})


def _have_one(cluster: Cluster, routed: Object, function: Function, at: Waited) -> None:
    """An instance of it is kept until it serves, or until nobody waits any more. So many and no
    more: for each request that waits, a cluster would add a node.
    """
    revision: str = routed["status"]["latestCreatedRevisionName"]
    scale, least = function.scale, str(max(1, function.scale.min))
    _annotate(cluster, revision, {"min-scale": least, "max-scale": least})
    try:
        waiting.wait_for_instance(cluster, routed, **at)
    finally:
        _annotate(cluster, revision, {"min-scale": str(scale.min), "max-scale": str(scale.max)})


def _return(cluster: Cluster, service: Object, held: Sequence[Held]) -> str:
    """The old revision gets the requests back, and then is scaled as it was; what to say of it.

    In this order: while it wants no instance it is ready, and Knative routes to what is ready. What
    it wants before, it would wait for, as long as the failed one has the accelerator.
    """
    if not held:
        return ""
    names_of = ", ".join(each.revision for each in held)
    targets = [
        {"revisionName": each.revision, "latestRevision": False, "percent": each.percent}
        for each in held
    ]
    try:
        routing.route(cluster, service, targets)
    except ClusterFailed as error:
        said = f"; {names_of} has not got the requests back: {error.message}"
    else:
        said = f"; {names_of} gets the requests again"
    _drop(cluster, service, held)
    take_back(cluster, held)
    return said


def _drop(cluster: Cluster, service: Object, held: Sequence[Held]) -> None:
    """Knative keeps the pod of a revision that never was ready, and its accelerator, until the
    deadline. Without its revision it goes; that is made anew, without a pod.
    """
    there = observing.revisions(cluster, service["metadata"]["name"])
    failed = overtaking.revision_of(service, there)
    if failed and failed not in {each.revision for each in held}:
        cluster.delete(kinds.REVISION, failed)


def _annotate(cluster: Cluster, revision: str, values: Mapping[str, str | None]) -> None:
    told = {names.AUTOSCALING + key: value for key, value in values.items()}
    cluster.patch(kinds.REVISION, revision, {"metadata": {"annotations": told}})
