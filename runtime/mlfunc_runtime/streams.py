"""A generator's items on their way from its slot's thread to the hub, a bounded number ahead of the
reader.
"""

from __future__ import annotations

import logging
from _queue import SimpleQueue
from collections import deque
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from mlfunc_runtime.errors import user_traceback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc_runtime.executor import Mailbox

_AHEAD = 16
_log = logging.getLogger("mlfunc")


class Stream:
    """Pumped in a slot's thread, iterated on the hub.

    The slot is held until the generator ended or the reader closed.
    """

    def __init__(self, source: Iterator[Any], mailbox: Mailbox) -> None:
        self._source = source
        self._mailbox = mailbox
        self._ahead: deque[Any] = deque()
        self._room: SimpleQueue[bool] = SimpleQueue()
        self._changed = Event()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._keep = False
        self.items: list[Any] = []
        for _ in range(_AHEAD):
            self._room.put(True)

    def pump(self) -> None:
        """Run the generator, in this (native) thread, as far as the reader keeps up."""
        error: BaseException | None = None
        try:
            while self._room.get() and not self._closed:
                self._ahead.append(next(self._source))
                self._mailbox.post(self._changed.set)
        except StopIteration:
            pass
        except BaseException as raised:
            error = raised
        finally:
            error = self._close_source() or error
        self._mailbox.post(lambda: self._end(error))

    def close(self) -> None:
        """The reader is gone: the generator is closed at its next `yield`."""
        self._closed = True
        self._room.put(False)

    def break_off(self, error: Exception) -> None:
        """End the reader with `error` now, whatever the generator does; called on the hub."""
        self.close()
        if not self._ended:
            self._error, self._ended = error, True
            self._changed.set()

    def keep_items(self) -> None:
        """Have `items` hold, in the end, all that was read."""
        self._keep = True

    def __iter__(self) -> Iterator[Any]:
        while True:
            while self._ahead:
                item = self._ahead.popleft()
                if self._keep:
                    self.items.append(item)
                yield item
                self._room.put(True)
            if self._ended:
                break
            self._changed.clear()
            self._changed.wait()
        if self._error is not None:
            raise self._error

    def _close_source(self) -> BaseException | None:
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        except BaseException as raised:
            return raised
        return None

    def _end(self, error: BaseException | None) -> None:
        if self._closed and error is not None:
            _log.error(
                "the stream's generator raised after its reader had left",
                extra={"fields": {"traceback": user_traceback(error)}},
            )
        self._error, self._ended = error, True
        self._changed.set()
