"""What the instances of a function say: what there is so far, or all that comes from now on.

The API server gives the log of one container; here are those of all pods, as one. With what it
gives, each line has its time: lines of several pods are sorted by it, and what broke off goes on
after the last.
"""

from __future__ import annotations

import heapq
import threading
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Unavailable
from mlfunc.cluster.watching import Seen, Topic
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.knative import names
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.connection import Lines
    from mlfunc.cluster.watching import Changes
    from mlfunc.platforms.knative.addressing import Addressed

_AGAIN_SECONDS = 1.0

Happened: TypeAlias = "SimpleQueue[Line | Seen | BaseException]"


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
    restarted: bool = False  # another ran before it


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
    streams = [_last_lines(cluster, each, _query(selection)) for each in found]
    return heapq.merge(*streams, key=lambda line: line.time)


def follow(addressed: Addressed, selection: Selection) -> Iterator[Line]:
    """What is said from now on, by pods that come and go: a pod that ends, until it has ended.

    Raises:
        ClusterFailed: the API server refuses, or has been away for minutes.

    """
    happened: Happened = SimpleQueue()
    listeners: dict[Source, _Listener] = {}
    query = _query(selection)  # for the pods that are there; of those that come later, all is meant
    with watching.follow(addressed.cluster, topic(addressed.name, selection)) as changes:
        _start(lambda: _pass_on(changes, happened))
        try:
            while True:
                match happened.get():
                    case Line() as line:
                        yield line
                    case Seen(objects=pods):
                        for each in _fresh(pods, selection, listeners):
                            listeners[each] = _Listener(addressed.cluster, each, query, happened)
                            _start(listeners[each].listen)
                        query = _query(replace(selection, tail=None, since=None))
                    case BaseException() as error:
                        raise error
        finally:
            for listener in listeners.values():
                listener.stop()


def _fresh(pods: Sequence[Object], selection: Selection, known: Collection[Source]) -> list[Source]:
    return [each for each in sources(pods, selection) if each not in known]


class _Listener:
    """Reads the log of one container until that ends, or until it is stopped."""

    def __init__(
        self, cluster: Cluster, source: Source, query: dict[str, str], happened: Happened
    ) -> None:
        self._cluster = cluster
        self._source = source
        self._query = {**query, "follow": "true"}
        self._happened = happened
        self._last = ""
        self._lines: Lines | None = None
        self._over = threading.Event()

    def listen(self) -> None:
        try:
            while not self._read():
                self._over.wait(_AGAIN_SECONDS)
        except BaseException as error:  # whoever waits raises it
            self._happened.put(error)

    def stop(self) -> None:
        self._over.set()
        if self._lines is not None:
            self._lines.stop()

    def _read(self) -> bool:
        """Whether it has come to its end; what breaks off goes on where it was."""
        try:
            with self._cluster.lines(_path(self._cluster, self._source), self._query) as lines:
                self._lines = lines
                self._pass_on(lines)
        except Unavailable:
            return self._over.is_set()
        except ClusterFailed:
            return True  # its pod is gone
        return True

    def _pass_on(self, lines: Lines) -> None:
        said_before = self._last  # sinceTime is in whole seconds
        for raw in lines:
            line = _line(self._source, raw)
            if line.time > said_before:
                self._happened.put(line)
                self._last = line.time
                self._query |= {"sinceTime": line.time, "tailLines": "", "sinceSeconds": ""}


def _pass_on(changes: Changes, happened: Happened) -> None:
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
    restarted = bool((status or {}).get("restartCount"))
    revision = labels.get(names.REVISION, "")
    return Source(pod["metadata"]["name"], revision, ran["containerID"], restarted)


def _query(selection: Selection) -> dict[str, str]:
    return {
        "container": selection.container,
        "timestamps": "true",
        "previous": "true" if selection.previous else "",
        "sinceSeconds": "" if selection.since is None else str(max(1, round(selection.since))),
        "tailLines": "" if selection.tail is None else str(selection.tail),
    }


def _last_lines(cluster: Cluster, source: Source, query: dict[str, str]) -> Iterator[Line]:
    """Of one that has only just been started again: what it said before."""
    lines = _lines(cluster, source, query)
    first = next(lines, None)
    if first is not None:
        yield first
        yield from lines
    elif source.restarted and not query["previous"]:
        yield from _lines(cluster, source, {**query, "previous": "true"})


def _lines(cluster: Cluster, source: Source, query: dict[str, str]) -> Iterator[Line]:
    for raw in cluster.lines(_path(cluster, source), query):
        yield _line(source, raw)


def _path(cluster: Cluster, source: Source) -> str:
    return kinds.POD.path(cluster.namespace, source.pod) + "/log"


def _line(source: Source, raw: bytes) -> Line:
    text = raw.decode(errors="replace").rstrip("\r\n")
    when, _, said = text.partition(" ")
    if not when[:1].isdigit():
        return Line(source.pod, source.revision, "", text)  # the kubelet's own words: it has none
    return Line(source.pod, source.revision, when, said)
