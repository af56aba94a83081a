"""A request that an instance has to start for: its reply, or why none will come.

The platform holds such a request for as long as it may take, and says nothing meanwhile.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from mlfunc import abreast
from mlfunc.cluster import kinds, watching
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.knative import crashes, diagnosis, names
from mlfunc.knative.progress import Snapshot
from mlfunc.platforms.knative import observing, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc.cluster.client import Object
    from mlfunc.knative.progress import Failure, Progress
    from mlfunc.platforms.knative.invoking import Reached

T = TypeVar("T")

_LOOK_SECONDS = 1.0


def answered(reached: Reached, ask: Callable[[], T], said: Callable[[str], None]) -> T:
    """What `ask` gives; meanwhile `said` is told how far the instance is.

    Raises:
        ClusterFailed: none can start, as the last one that tried shows.
        NotFound: there was no reply in time.

    """
    watch = _Watch(reached, said)
    try:
        return abreast.guarded(ask, watch.follow, stop=watch.over.set)
    except NotFound as error:
        raise watch.late(error) from error


@dataclass
class _Watch:
    """What the pods of a revision show, until it is over."""

    reached: Reached
    said: Callable[[str], None]
    over: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    # When no failure was seen for the last time.
    sound: float = field(default_factory=time.monotonic)

    def follow(self) -> None:
        """Raise ClusterFailed once it is plain that no instance starts."""
        addressed = self.reached.addressed
        service = reading.service(addressed)
        own = Topic(kinds.POD, labels=f"{names.REVISION}={self.reached.revision}")
        pods: Sequence[Object] = ()
        with watching.follow(addressed.cluster, own) as changes:
            while not self.over.is_set():
                seen = changes.next(_LOOK_SECONDS)
                pods = pods if seen is None else seen.objects
                self._judge(diagnosis.of_instances(Snapshot(service, None, pods)), pods)

    def _judge(self, progress: Progress, pods: Sequence[Object]) -> None:
        self.progress = progress
        self.said(": ".join(filter(None, (progress.phase, progress.detail))))
        now = time.monotonic()
        # One that runs anew may come through this time.
        again = diagnosis.may_recover(pods) or any(map(diagnosis.is_starting, pods))
        if progress.failure is None or again:
            self.sound = now
        elif now - self.sound >= progress.failure.patience:
            raise self._failed(progress.failure)

    def _failed(self, failure: Failure) -> ClusterFailed:
        if failure.pod is not None:
            cluster = self.reached.addressed.cluster
            log = observing.log(cluster, failure.pod, previous=failure.previous)
            failure = crashes.explained(failure, log) if log else failure
        message = f"{self.reached.revision}: {failure.message}"
        return ClusterFailed(message, self._hint(failure), evidence=failure.evidence)

    def _hint(self, failure: Failure) -> str:
        """A revision that gets requests was ready once: then it is not the code."""
        name = self.reached.addressed.name
        served = "it has served: what that it loads or asks has changed? It starts again by itself"
        served = f"{served}, less and less often; mlfunc logs {name}"
        return served if failure.pod is not None or not failure.hint else failure.hint

    def late(self, error: NotFound) -> NotFound:
        """With how far the instance has come, as that was seen last."""
        if self.progress is None:
            return error
        detail = f" ({self.progress.detail})" if self.progress.detail else ""
        at = f"an instance of {self.reached.revision} is {self.progress.phase}{detail}"
        message = f"{error.message}: {at}"
        return NotFound(message, f"mlfunc logs {self.reached.addressed.name}; {error.hint}")
