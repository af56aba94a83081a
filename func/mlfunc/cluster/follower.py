"""One kind of objects followed: listed, then watched, and listed again when that breaks.

It survives what is not for good: connections that break off, an API server that starts anew,
versions that it has forgotten (410), credentials that expire. Where it may not watch, it polls.
"""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING

from mlfunc.cluster import failures, refusals
from mlfunc.cluster.failures import Absent, Expired, Forbidden, Unavailable
from mlfunc.cluster.mirror import Mirror
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.connection import Lines
    from mlfunc.cluster.watching import Topic

# The API server ends each watch after so long: at different times, that not all come back at once.
_WATCH_SECONDS = (240, 300)
# Bookmarks come once a minute. A connection that says less is dead: a NAT forgot it, say.
_SILENCE_SECONDS = 90
_POLL_SECONDS = 2.0
_BACKOFF_SECONDS = (0.2, 8.0)
# A watch that lasts so long has worked, even if it said nothing.
_SOUND_SECONDS = 10.0
# How long what worked once may fail. An API server that is upgraded is away for minutes, and while
# it starts it may refuse what it has not read yet: rights, kinds.
_AWAY_SECONDS = 300.0


class Follower:
    """A thread that nobody has to wait for; it tells all objects each time they change.

    What ends it before it is stopped is told, too.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: Topic,
        tell: Callable[[tuple[Object, ...] | BaseException], None],
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._tell = tell
        where = None if topic.everywhere else topic.namespace or cluster.namespace
        self._path = topic.kind.path(where)
        self._selectors = {"labelSelector": topic.labels, "fieldSelector": topic.fields}
        self._mirror = Mirror(topic.kind)
        self._over = threading.Event()
        self._lines: Lines | None = None
        self._has_listed = False
        self._has_watched = False
        self._polls = False
        self._failing_since: float | None = None
        self._delay = _BACKOFF_SECONDS[0]

    def start(self) -> None:
        """Begin."""
        name = f"follow {self._topic.kind.plural}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Leave it, even in the midst of a read."""
        self._over.set()
        if lines := self._lines:
            lines.stop()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._go_on()
        except BaseException as error:  # whoever waits raises it
            self._tell(error)

    def _go_on(self) -> None:
        try:
            if self._mirror.version is None:
                self._list()
            elif self._polls:
                self._over.wait(_POLL_SECONDS)
                self._list()
            else:
                self._watch()
        except MlfuncError as error:
            self._bear(error)

    def _list(self) -> None:
        changed = self._mirror.replace(self._cluster.fetch(self._path, self._selectors))
        self._failing_since = None
        if changed or not self._has_listed:
            self._tell(self._mirror.objects)
        self._has_listed = True

    def _watch(self) -> None:
        query = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._mirror.version or "",
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311 - no secret
        }
        began = time.monotonic()
        with self._cluster.lines(self._path, query, silence=_SILENCE_SECONDS) as lines:
            self._lines = lines
            self._has_watched, self._failing_since = True, None
            if self._over.is_set():  # too early for `stop` to see the lines
                return
            for line in lines:
                self._take(_event(line))
        if time.monotonic() - began > _SOUND_SECONDS:
            self._delay = _BACKOFF_SECONDS[0]
        self._back_off()

    def _take(self, event: Object) -> None:
        if event["type"] == "ERROR":
            raise failures.told(refusals.complete(event["object"]), self._cluster.access)
        if self._mirror.change(event):
            self._tell(self._mirror.objects)
        self._delay = _BACKOFF_SECONDS[0]

    def _bear(self, error: MlfuncError) -> None:
        """Try again what worked once; raise what never did."""
        if isinstance(error, Expired):
            self._mirror.version = None
        elif not self._has_listed:
            self._do_without(error)
            return
        elif isinstance(error, Forbidden) and not (self._has_watched or self._polls):
            self._polls = True
            return
        elif self._lasts_too_long():
            raise error
        self._back_off()

    def _do_without(self, error: MlfuncError) -> None:
        if not (self._topic.optional and isinstance(error, Forbidden | Absent)):
            raise error
        self._tell(())
        self._over.set()

    def _lasts_too_long(self) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since > _AWAY_SECONDS

    def _back_off(self) -> None:
        """Wait, longer each time until something is heard again."""
        self._over.wait(self._delay * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._delay = min(2 * self._delay, _BACKOFF_SECONDS[1])


def _event(line: bytes) -> Object:
    """An event of a watch.

    Raises:
        Unavailable: the connection broke off in the midst of it.

    """
    try:
        event: Object = json.loads(line)
        found = event["object"]
        if event["type"] != "ERROR":
            found["metadata"]["resourceVersion"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"a watch broke off in the midst of a line: {line[:80]!r}") from error
    return event
