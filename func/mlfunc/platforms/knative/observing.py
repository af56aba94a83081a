"""A Service, its revisions, their pods and what is told of them, seen while they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Forbidden, Unavailable
from mlfunc.errors import ClusterFailed
from mlfunc.knative import diagnosis, names
from mlfunc.knative.progress import Snapshot
from mlfunc.platforms.knative import inquiring

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.watching import Seen

# How often a log is read, of a pod that starts: it is the only thing that tells how far that is.
_LOOK_SECONDS = 1.0
_LINES = 50
_LOG_BYTES = 256 * 2**10


class View:
    """What is seen of a Service; to be used by `with`."""

    def __init__(self, cluster: Cluster, name: str, size: int = 0) -> None:
        own = f"{names.SERVICE}={name}"
        self._cluster = cluster
        self._name = name
        self._size = size
        self._service = watching.Topic(kinds.SERVICE, fields=f"metadata.name={name}")
        self._revisions = watching.Topic(kinds.REVISION, labels=own, optional=True)
        self._pods = watching.Topic(kinds.POD, labels=own, optional=True)
        self._events = watching.Topic(kinds.EVENT, optional=True)
        topics = (self._service, self._revisions, self._pods, self._events)
        self._changes = watching.follow(cluster, *topics)
        self._seen: dict[watching.Topic, tuple[Object, ...]] = {}
        self._grows: bool | None = None

    def __enter__(self) -> Self:
        self._changes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.__exit__(None, None, None)

    def next(self) -> Snapshot:
        """After a change, or a second.

        Raises:
            ClusterFailed: the Service is deleted, or may not be looked at.

        """
        self._take(self._changes.next(_LOOK_SECONDS))
        while self._service not in self._seen:
            self._take(self._changes.next(_LOOK_SECONDS))
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """As it was seen last.

        Raises:
            ClusterFailed: the Service is deleted.

        """
        service = next(iter(self._seen[self._service]), None)
        if service is None:
            message = f"{self._name} was deleted while it was waited for"
            raise ClusterFailed(message, "mlfunc deploy")
        newest = service.get("status", {}).get("latestCreatedRevisionName")
        # What is left of a Service that had the name before is none of it.
        own = [each for each in self._of(self._revisions) if _belongs(each, service)]
        pods = [each for each in self._of(self._pods) if _belongs(each, service)]
        revision = next((each for each in own if each["metadata"]["name"] == newest), None)
        current = [each for each in pods if _label(each, names.REVISION) == newest]
        return Snapshot(
            service,
            revision,
            current,
            [each for each in pods if _label(each, names.REVISION) != newest],
            _about(self._of(self._events), revision, current),
            self._words(current),
            *self._capacity(current),
            self._size,
        )

    def _take(self, seen: Seen | None) -> None:
        """What is seen, and what else has come meanwhile: of all that, the last counts."""
        while seen is not None:
            self._seen[seen.topic] = seen.objects
            seen = self._changes.next(0)

    def _of(self, topic: watching.Topic) -> tuple[Object, ...]:
        return self._seen.get(topic, ())

    def _words(self, pods: list[Object]) -> str:
        """The last words of the newest pod, while it starts."""
        pod = diagnosis.newest([each for each in pods if diagnosis.is_starting(each)])
        return "" if pod is None else log(self._cluster, pod["metadata"]["name"])

    def _capacity(self, pods: list[Object]) -> tuple[list[Object] | None, bool]:
        """The nodes, where it is open whether one can take a pod; whether others may come."""
        if not any(not each["spec"].get("nodeName") for each in diagnosis.staying(pods)):
            return None, False
        try:
            if self._grows is None:
                self._grows = inquiring.adds_nodes(self._cluster)
            return self._cluster.list(kinds.NODE), self._grows
        except (Forbidden, Unavailable):
            return None, False


def revisions(cluster: Cluster, name: str) -> list[Object]:
    """All that a Service has."""
    return cluster.list(kinds.REVISION, labels=f"{names.SERVICE}={name}")


def log(cluster: Cluster, pod: str, *, previous: bool = False) -> str:
    """The end of the log of a function in a pod; nothing where there is none, or none is shown."""
    query = {
        "container": names.CONTAINER,
        "previous": "true" if previous else "",
        "tailLines": str(_LINES),
        "limitBytes": str(_LOG_BYTES),
    }
    try:
        reply = cluster.request("GET", f"{kinds.POD.path(cluster.namespace, pod)}/log", query=query)
    except Unavailable:
        return ""
    return reply.data.decode(errors="replace") if reply.status == 200 else ""


def _belongs(found: Object, service: Object) -> bool:
    uid: str = service["metadata"]["uid"]
    return _label(found, names.SERVICE_UID) == uid


def _label(found: Object, name: str) -> str:
    return str((found["metadata"].get("labels") or {}).get(name, ""))


def _about(events: tuple[Object, ...], revision: Object | None, pods: list[Object]) -> list[Object]:
    """Of the objects of a revision, the latest last. Their names begin with its own, save where
    that is so long that Knative puts a digest for its end: then those of its pods are known.
    """
    if revision is None:
        return []
    start = f"{revision['metadata']['name']}-deployment"
    since = _second(revision["metadata"]["creationTimestamp"])
    starts = (start, *(each["metadata"]["name"] for each in pods))
    found = [
        each
        for each in events
        if str(each["involvedObject"].get("name", "")).startswith(starts) and _when(each) >= since
    ]
    return sorted(found, key=_when)


def _when(event: Object) -> str:
    """To the second: some events have fractions of one, what they are compared with has none."""
    last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp")
    return _second(str(last or event.get("eventTime") or ""))


def _second(time: str) -> str:
    return time[: len("2026-01-01T00:00:00")]
