"""Who gets the requests of a Service, changed: `spec.traffic` alone, by a manager of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed
from mlfunc.knative import diagnosis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.cluster.client import Cluster, Object

# A deployment knows by it that what differs is ours.
MANAGER = "mlfunc-traffic"
_SECONDS = 60


def route(cluster: Cluster, service: Object, targets: Sequence[dict[str, Any]]) -> Object:
    """Have the requests go so, and wait until they do; the Service as it is then.

    Raises:
        ClusterFailed: the cluster refuses it, or does not come to do it.

    """
    meta = service["metadata"]
    manifest = {
        "apiVersion": kinds.SERVICE.api_version,
        "kind": kinds.SERVICE.name,
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "spec": {"traffic": list(targets)},
    }
    applied = cluster.apply(manifest, manager=MANAGER, force=True)
    return _routed(cluster, meta["name"], applied["metadata"]["generation"])


def _routed(cluster: Cluster, name: str, generation: int) -> Object:
    topic = Topic(kinds.SERVICE, fields=f"metadata.name={name}")
    last: Object = {}
    with watching.follow(cluster, topic) as changes:
        for seen in changes.until(time.monotonic() + _SECONDS):
            last = seen.objects[-1] if seen.objects else {}
            if not last:
                raise ClusterFailed(f"{name} was deleted meanwhile", "mlfunc list")
            if _is_routed(last, generation):
                return last
    why = diagnosis.condition(last, "RoutesReady").get("message") or "the ingress has not answered"
    raise ClusterFailed(f"{name} is not routed so after {_SECONDS} s: {why}", "mlfunc describe")


def _is_routed(service: Object, generation: int) -> bool:
    status = service.get("status", {})
    told = diagnosis.condition(service, "RoutesReady")
    return status.get("observedGeneration", 0) >= generation and told.get("status") == "True"
