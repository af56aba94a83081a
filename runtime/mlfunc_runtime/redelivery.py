"""Events that are delivered again (same source and id) are predicted once.

One that comes while the first is being answered joins it; one that comes later gets the remembered
answer. Only answers are remembered: an event that failed runs again, also for those that had joined
it, because what failed may have been the first one's alone (its deadline, its client).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import Event

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from mlfunc_runtime.protocols.cloudevents import Message

Key = tuple[str, str]  # source and id
_BYTES = 32 * 2**20
# What an entry costs beside its texts: the tuples, strings and the place in the dict.
_ENTRY = 1024


class _Answered(NamedTuple):
    """An event as it went out; no message: there was an empty reply."""

    message: Message | None


class Redelivery:
    """Answers by source and id; the least recently asked for leave first. Used on the hub.

    `limit` entries and `limit_bytes` are kept; with a limit of 0 every event runs by itself.
    """

    def __init__(self, limit: int, counts: Counter[str], *, limit_bytes: int = _BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._counts = counts
        self._answers: OrderedDict[Key, _Answered] = OrderedDict()
        self._running: dict[Key, _Running] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def once(self, key: Key, run: Callable[[], Message | None]) -> Message | None:
        """The answer to `key`: remembered, of the one that runs, or `run()`."""
        if not self._limit:
            return run()
        while (answered := self._recall(key)) is None:
            running = self._running.get(key)
            if running is None:
                return self._lead(key, run)
            running.ended.wait()
            if running.answered is not None:
                self._counts["joined"] += 1
                return running.answered.message
        self._counts["remembered"] += 1
        return answered.message

    def forget(self, key: Key) -> None:
        """Its work after the reply was lost: when it comes again, it runs again."""
        answered = self._answers.pop(key, None)
        if answered is not None:
            self.bytes -= _size(key, answered)

    def _recall(self, key: Key) -> _Answered | None:
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def _lead(self, key: Key, run: Callable[[], Message | None]) -> Message | None:
        running = self._running[key] = _Running()
        try:
            running.answered = _Answered(run())
        finally:
            del self._running[key]
            running.ended.set()
        self._remember(key, running.answered)
        return running.answered.message

    def _remember(self, key: Key, answered: _Answered) -> None:
        self._answers[key] = answered
        self.bytes += _size(key, answered)
        while len(self._answers) > self._limit or self.bytes > self._limit_bytes:
            oldest, forgotten = self._answers.popitem(last=False)
            self.bytes -= _size(oldest, forgotten)


class _Running:
    """An event that is being answered. It has no answer when it failed."""

    __slots__ = ("answered", "ended")

    def __init__(self) -> None:
        self.answered: _Answered | None = None
        self.ended = Event()


def _size(key: Key, answered: _Answered) -> int:
    headers, body = answered.message or ((), b"")
    texts = sum(len(name) + len(value) for name, value in headers)
    return _ENTRY + sum(map(len, key)) + texts + len(body)
