"""Objects followed while they change, several topics in one stream. What they mean is not known.

with watching.follow(cluster, Topic(kinds.POD, labels="app=greeter")) as changes:
    for seen in changes.until(time.monotonic() + 60):
        print(seen.topic.kind.name, len(seen.objects))
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from mlfunc.cluster.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.kinds import Kind


@dataclass(frozen=True)
class Topic:
    """Which objects: `labels` and `fields` select as kubectl's do.

    `optional`: where they may not be read, or there is no such kind, it is as if there were none.
    """

    kind: Kind
    labels: str = ""
    fields: str = ""
    namespace: str | None = None  # None: that of the cluster
    everywhere: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Seen:
    """All objects of a topic, as they are now; those that came last stand at the end."""

    topic: Topic
    objects: tuple[Object, ...]


def follow(cluster: Cluster, *topics: Topic) -> Changes:
    """What is seen of these topics, side by side; to be used by `with`."""
    return Changes(cluster, topics)


class Changes:
    """A stream of what is seen. The end of its `with`, as by Ctrl-C, waits for nothing."""

    def __init__(self, cluster: Cluster, topics: tuple[Topic, ...]) -> None:
        self._cluster = cluster
        self._happened: SimpleQueue[Seen | BaseException] = SimpleQueue()
        self._followers: list[Follower] = []
        self._topics = topics

    def __enter__(self) -> Self:
        for topic in self._topics:
            self.add(topic)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for follower in self._followers:
            follower.stop()

    def add(self, topic: Topic) -> None:
        """Follow one more from now on."""

        def tell(told: tuple[Object, ...] | BaseException) -> None:
            self._happened.put(Seen(topic, told) if isinstance(told, tuple) else told)

        follower = Follower(self._cluster, topic, tell)
        self._followers.append(follower)
        follower.start()

    def next(self, seconds: float | None = None) -> Seen | None:
        """The next that is seen, or None if that takes longer.

        Each topic is seen once at first, even if there are no such objects.

        Raises:
            MlfuncError: the API server refuses, or has been away for minutes.

        """
        try:
            happened = self._happened.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(happened, BaseException):
            raise happened
        return happened

    def until(self, deadline: float | None) -> Iterator[Seen]:
        """All that is seen until then, by the clock of `time.monotonic`; None: for ever."""
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            seen = self.next(left)
            if seen is None:
                return
            yield seen
