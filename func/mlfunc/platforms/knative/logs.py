"""What the instances of a function say: what there is so far, or all that comes from now on.

The API server gives the log of one container; here are those of all pods, as one. With what it
gives, each line has its time: lines of several pods are sorted by it, and what broke off goes on
after the last.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Unavailable
from mlfunc.cluster.watching import Seen, Topic
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.knative import names
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.watching import Changes
    from mlfunc.platforms.knative.addressing import Addressed

_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Selection:
    """Which lines of a function are meant."""

    revision: str | None = None
    container: str = names.CONTAINER
    previous: bool = False  # those of the container that ran before the present one
    since: float | None = None  # seconds
    tail: int | None = None  # the last so many of each pod


@dataclass(frozen=True)
class Source:
    """A container that runs or ran; another start of it is another one."""

    pod: str
    revision: str
    container_id: str


@dataclass(frozen=True)
class Line:
    """A line of a pod, and when it was said, as RFC 3339 has it."""

    pod: str
    revision: str
    time: str
    text: str


def sources(pods: Sequence[Object], selection: Selection) -> list[Source]:
    """The containers of these pods that have said, or can say, something.

    Raises:
        NotFound: a pod has no such container.

    """
    found = [_source(each, selection) for each in pods]
    return [each for each in found if each is not None]


def topic(name: str, selection: Selection) -> Topic:
    """The pods that are meant."""
    if selection.revision is not None:
        return Topic(
            kinds.POD, labels=f"{names.SERVICE}={name},{names.REVISION}={selection.revision}"
        )
    return Topic(kinds.POD, labels=f"{names.SERVICE}={name}")


def read(cluster: Cluster, found: Sequence[Source], selection: Selection) -> Iterator[Line]:
    """What they have said so far, sorted by time."""
    streams = [_lines(cluster, each, _query(selection)) for each in found]
    return heapq.merge(*streams, key=lambda line: line.time)


def follow(addressed: Addressed, selection: Selection) -> Iterator[Line]:
    """What is said from now on, by pods that come and go: a pod that ends, until it has ended.

    Raises:
        ClusterFailed: the API server refuses, or has been away for minutes.

    """
    happened: SimpleQueue[Line | Seen | BaseException] = SimpleQueue()
    known: set[Source] = set()
    with watching.follow(addressed.cluster, topic(addressed.name, selection)) as changes:
        _start(lambda: _pass_on(changes, happened))
        while True:
            match happened.get():
                case Line() as line:
                    yield line
                case Seen(objects=pods):
                    # Of a pod that comes later, all is meant.
                    wanted = replace(selection, tail=None, since=None) if known else selection
                    fresh = [each for each in sources(pods, selection) if each not in known]
                    known.update(fresh)
                    for each in fresh:
                        listener = _Listener(addressed.cluster, each, wanted, happened.put)
                        _start(listener.listen)
                case BaseException() as error:
                    raise error


class _Listener:
    """Reads the log of one container until that ends."""

    def __init__(
        self,
        cluster: Cluster,
        source: Source,
        selection: Selection,
        tell: Callable[[Line | BaseException], None],
    ) -> None:
        self._cluster = cluster
        self._source = source
        self._selection = selection
        self._tell = tell
        self._last = ""

    def listen(self) -> None:
        try:
            while not self._read():
                time.sleep(_AGAIN_SECONDS)
        except BaseException as error:  # whoever waits raises it
            self._tell(error)

    def _read(self) -> bool:
        """Whether it has come to its end; what breaks off goes on where it was."""
        query = {**_query(self._selection), "follow": "true"}
        after = self._last
        if after:
            query = {**query, "sinceTime": after, "tailLines": "", "sinceSeconds": ""}
        try:
            for line in _lines(self._cluster, self._source, query):
                if line.time > after:  # sinceTime is in whole seconds
                    self._tell(line)
                    self._last = line.time
        except Unavailable:
            return False
        except ClusterFailed:
            return True  # its pod is gone
        return True


def _pass_on(changes: Changes, happened: SimpleQueue[Line | Seen | BaseException]) -> None:
    try:
        for seen in changes.until(None):
            happened.put(seen)
    except BaseException as error:  # whoever waits raises it
        happened.put(error)


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="logs", daemon=True).start()


def _source(pod: Object, selection: Selection) -> Source | None:
    statuses: Sequence[Object] = pod.get("status", {}).get("containerStatuses") or ()
    status = next((each for each in statuses if each["name"] == selection.container), None)
    if status is None and statuses:
        known = [each["name"] for each in statuses]
        message = f"{pod['metadata']['name']} has no container {selection.container}"
        raise NotFound(message, did_you_mean(selection.container, known))
    ran = status or {}
    if selection.previous:
        ran = ran.get("lastState", {}).get("terminated") or {}
    if not ran.get("containerID"):
        return None
    labels = pod["metadata"].get("labels") or {}
    return Source(pod["metadata"]["name"], labels.get(names.REVISION, ""), ran["containerID"])


def _query(selection: Selection) -> dict[str, str]:
    return {
        "container": selection.container,
        "timestamps": "true",
        "previous": "true" if selection.previous else "",
        "sinceSeconds": "" if selection.since is None else str(max(1, round(selection.since))),
        "tailLines": "" if selection.tail is None else str(selection.tail),
    }


def _lines(cluster: Cluster, source: Source, query: dict[str, str]) -> Iterator[Line]:
    path = kinds.POD.path(cluster.namespace, source.pod) + "/log"
    for raw in cluster.lines(path, query):
        when, _, text = raw.decode(errors="replace").rstrip("\n").partition(" ")
        yield Line(source.pod, source.revision, when, text)
