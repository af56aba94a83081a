"""A new revision in place of the old one, for accelerators of which there is no second.

A new revision that needs none to be ready gets the requests at once: the activator holds them. The
old one, which nobody reaches any more, goes, and lets go of its accelerator; the new one starts.
Where it does not, the old one gets the requests back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed
from mlfunc.knative import names
from mlfunc.platforms.knative import routing, waiting

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.platforms.knative.waiting import Watcher

# The shortest window there is: an old revision that nobody reaches goes so soon.
_LEAVES_AFTER = "6s"


def let_go(cluster: Cluster, live: Object) -> None:
    """Have the revisions that serve now go as soon as nobody reaches them."""
    for name in serving(live):
        _annotate(cluster, name, {"window": _LEAVES_AFTER, "scale-down-delay": "0s"})


def start(
    cluster: Cluster,
    function: Function,
    service: Object,
    before: Object | None,
    timeout: float | None,
    watcher: Watcher,
) -> None:
    """Have the new revision start, once it is routed to; give the requests back where it fails.

    Raises:
        ClusterFailed: it does not start.

    """
    name, generation = service["metadata"]["name"], service["metadata"]["generation"]
    waiting.wait(cluster, name, generation=generation, timeout=timeout, watcher=watcher)
    revision = _newest(cluster, name)
    _annotate(cluster, revision, {"min-scale": str(max(1, function.scale.min))})
    try:
        waiting.wait_for_instance(
            cluster, name, generation=generation, timeout=timeout, watcher=watcher
        )
    except ClusterFailed as error:
        back = _return(cluster, service, before, revision)
        message = f"{error.message}; {back} gets the requests again" if back else error.message
        raise ClusterFailed(message, error.hint, evidence=error.evidence) from error
    _annotate(cluster, revision, {"min-scale": str(function.scale.min)})
    waiting.wait(cluster, name, generation=generation, timeout=timeout, watcher=watcher)


def serving(live: Object) -> list[str]:
    """The revisions that get requests."""
    targets = live.get("status", {}).get("traffic", ())
    return [each["revisionName"] for each in targets if each.get("percent")]


def _return(cluster: Cluster, service: Object, before: Object | None, failed: str) -> str:
    """The old revision gets the requests back, with the window that it had; its name, if any."""
    if before is None or not serving(before):
        return ""
    for name in serving(before):
        template = before["spec"]["template"]["metadata"].get("annotations", {})
        _annotate(cluster, name, {key: template.get(names.AUTOSCALING + key) for key in _KEPT})
    targets = [
        {"revisionName": each["revisionName"], "latestRevision": False, "percent": each["percent"]}
        for each in before["status"]["traffic"]
        if each.get("percent")
    ]
    routing.route(cluster, service, targets)
    # Knative keeps the pod of one that never was ready, and its accelerator, until the deadline. It
    # makes the revision anew, without a pod.
    cluster.delete(kinds.REVISION, failed)
    return ", ".join(serving(before))


_KEPT = ("window", "scale-down-delay")


def _newest(cluster: Cluster, name: str) -> str:
    found = cluster.get(kinds.SERVICE, name) or {}
    newest: str = found["status"]["latestCreatedRevisionName"]
    return newest


def _annotate(cluster: Cluster, revision: str, values: dict[str, str | None]) -> None:
    told = {names.AUTOSCALING + key: value for key, value in values.items()}
    cluster.patch(kinds.REVISION, revision, {"metadata": {"annotations": told}})
