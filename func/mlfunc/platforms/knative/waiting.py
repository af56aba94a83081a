"""Until a revision answers, or cannot: the cluster is looked at, and what it shows is told."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed
from mlfunc.knative import diagnosis, names
from mlfunc.knative.progress import PHASES, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.progress import Progress

_POLL_SECONDS = 0.5
# What Knative itself waits for, and what it needs to say so.
_PATIENCE = 60
_WORDS = 20  # lines of a log, of which the last with a phase counts


class Watcher(Protocol):
    """Who is told how far it is."""

    def phase(self, name: str) -> None:
        """The next part begins."""
        ...

    def said(self, text: str) -> None:
        """What it is at, in words."""
        ...


def wait(
    cluster: Cluster, name: str, *, generation: int, timeout: float | None, watcher: Watcher
) -> None:
    """Wait until what was applied last serves.

    Raises:
        ClusterFailed: it cannot, or has not in time.

    """
    _until(cluster, name, generation, _ready, timeout, watcher)


def wait_for_instance(
    cluster: Cluster, name: str, *, generation: int, timeout: float | None, watcher: Watcher
) -> None:
    """Wait until an instance of the newest revision serves, whatever Knative says of the rest.

    Raises:
        ClusterFailed: it cannot, or has not in time.

    """
    _until(cluster, name, generation, _has_instance, timeout, watcher)


def _until(
    cluster: Cluster,
    name: str,
    generation: int,
    is_done: Callable[[Snapshot], bool],
    timeout: float | None,
    watcher: Watcher,
) -> None:
    began, furthest = time.monotonic(), 0
    while True:
        snapshot = look(cluster, name)
        if _is_of(snapshot.service, generation) and is_done(snapshot):
            return
        progress = diagnosis.diagnose(snapshot)
        # What tells of pulling may come after what tells of starting.
        furthest = max(furthest, PHASES.index(progress.phase))
        watcher.phase(PHASES[furthest])
        watcher.said(progress.detail)
        if progress.failure is not None:
            raise _failed(snapshot, progress)
        if time.monotonic() - began > (timeout or _deadline(snapshot.service)):
            raise _late(snapshot, progress, time.monotonic() - began)
        time.sleep(_POLL_SECONDS)


def look(cluster: Cluster, name: str) -> Snapshot:
    """What the cluster shows of a Service now.

    Raises:
        ClusterFailed: it was deleted meanwhile.

    """
    service = cluster.get(kinds.SERVICE, name)
    if service is None:
        raise ClusterFailed(f"{name} was deleted while it was waited for", "mlfunc deploy")
    newest = service.get("status", {}).get("latestCreatedRevisionName")
    if not newest or diagnosis.is_ready(service):
        pods = [] if not newest else _pods(cluster, newest)
        return Snapshot(service, pods=pods)
    pods = _pods(cluster, newest)
    return Snapshot(
        service,
        cluster.get(kinds.REVISION, newest),
        pods,
        _events(cluster, newest),
        _boot(cluster, diagnosis.newest(pods)),
        _nodes(cluster, diagnosis.newest(pods)),
    )


def _pods(cluster: Cluster, revision: str) -> list[Object]:
    return cluster.list(kinds.POD, labels=f"{names.REVISION}={revision}")


def _events(cluster: Cluster, revision: str) -> list[Object]:
    """Of the revision's objects, whose names begin with its own; the latest last."""
    found = [
        each
        for each in cluster.list(kinds.EVENT)
        if str(each["involvedObject"].get("name", "")).startswith(f"{revision}-deployment")
    ]
    return sorted(found, key=lambda each: each.get("lastTimestamp") or each.get("eventTime") or "")


def _boot(cluster: Cluster, pod: Object | None) -> str:
    """The last phase that the runtime has told, once its container runs."""
    if pod is None or "running" not in diagnosis.user_container(pod).get("state", {}):
        return ""
    path = kinds.POD.path(cluster.namespace, pod["metadata"]["name"]) + "/log"
    query = {"container": names.CONTAINER, "tailLines": str(_WORDS)}
    response = cluster.request("GET", path, query=query)
    lines = response.data.decode(errors="replace").splitlines()
    phases = [_phase(line) for line in lines] if response.status == 200 else []
    return next((phase for phase in reversed(phases) if phase), "")


def _phase(line: str) -> str:
    try:
        told: Any = json.loads(line)
    except ValueError:
        return ""
    return str(told.get("phase", "")) if isinstance(told, dict) else ""


def _nodes(cluster: Cluster, pod: Object | None) -> list[Object] | None:
    """All nodes, where it is open whether one can take the pod."""
    if pod is None or pod["spec"].get("nodeName"):
        return None
    response = cluster.request("GET", kinds.NODE.path())
    found: list[Object] | None = None
    if response.status == 200:
        found = json.loads(response.data)["items"]
    return found


def _is_of(service: Object, generation: int) -> bool:
    seen: int = service.get("status", {}).get("observedGeneration", 0)
    return seen >= generation


def _ready(snapshot: Snapshot) -> bool:
    return diagnosis.is_ready(snapshot.service)


def _has_instance(snapshot: Snapshot) -> bool:
    pods = snapshot.pods
    return any(diagnosis.condition(pod, "Ready").get("status") == "True" for pod in pods)


def _deadline(service: Object) -> float:
    """Seconds that Knative gives it, and some more."""
    template = service["spec"]["template"].get("metadata", {})
    told = (template.get("annotations") or {}).get(names.PROGRESS_DEADLINE, "600s")
    return float(told.removesuffix("s")) + _PATIENCE


def _failed(snapshot: Snapshot, progress: Progress) -> ClusterFailed:
    failure = progress.failure
    assert failure is not None  # noqa: S101 - asked before
    message = f"{_revision(snapshot)}: {failure.message}{_still(snapshot)}"
    return ClusterFailed(message, failure.hint, evidence=failure.evidence)


def _late(snapshot: Snapshot, progress: Progress, seconds: float) -> ClusterFailed:
    detail = f": {progress.detail}" if progress.detail else ""
    message = (
        f"{_revision(snapshot)} is not ready after {seconds:.0f} s, still {progress.phase}"
        f"{detail}{_still(snapshot)}"
    )
    name = snapshot.service["metadata"]["name"]
    return ClusterFailed(message, f"mlfunc describe {name}; --timeout waits longer")


def _revision(snapshot: Snapshot) -> str:
    newest = snapshot.service.get("status", {}).get("latestCreatedRevisionName")
    return str(newest or snapshot.service["metadata"]["name"])


def _still(snapshot: Snapshot) -> str:
    targets = snapshot.service.get("status", {}).get("traffic") or ()
    others = [each["revisionName"] for each in targets if each.get("percent")]
    serves = [each for each in others if each != _revision(snapshot)]
    return f"; {', '.join(serves)} serves on" if serves else ""
