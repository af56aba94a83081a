"""A generator's items on their way from its slot's thread to the hub, a bounded number ahead of the
reader.
"""

from __future__ import annotations

import logging
import time
from _queue import SimpleQueue
from collections import deque
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from mlfunc_runtime import logs
from mlfunc_runtime.calls import as_outcome
from mlfunc_runtime.errors import Problem, user_traceback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc_runtime.executor import Mailbox

_AHEAD = 16  # items


class Stream:
    """Pumped in a slot's thread, iterated on the hub.

    The slot is held until the generator ended or the reader closed. `running`: it has done neither.
    `since`: when the generator was asked for what it works on (time.perf_counter), if it does;
    `made`: how many items it has brought.
    """

    def __init__(self, source: Iterator[Any], mailbox: Mailbox) -> None:
        self._source = source
        self._mailbox = mailbox
        self._ahead: deque[Any] = deque()
        self._room: SimpleQueue[bool] = SimpleQueue()
        self._changed = Event()
        self.running = True
        self.since: float | None = None
        self.made = 0
        self._ended = False  # the reader gets no more items
        self._closed = False  # it wants none
        self._given_up: float | None = None  # when, if nothing came for too long
        self._error: BaseException | None = None
        self._keep = False
        self.items: list[Any] = []
        self._make_room(_AHEAD)

    def pump(self) -> None:
        """Run the generator, in this (native) thread, as far as the reader keeps up."""
        error: BaseException | None = None
        try:
            while self._room.get() and not self._closed:
                self.since = time.perf_counter()
                self._ahead.append(next(self._source))
                self.since = None
                self.made += 1
                # Where more items are, the reader has heard of the first of them, and takes all.
                if len(self._ahead) == 1:
                    self._mailbox.post(self._changed.set)
        except StopIteration:
            pass
        except BaseException as raised:
            error = as_outcome(raised)
        finally:
            self.since = time.perf_counter()
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
        for items in self.turns():
            yield from items

    def turns(self, patience: float | None = None) -> Iterator[list[Any]]:
        """All items that are there, each time some are: what is ready together is sent together.

        Raises:
            Problem: 504 when no item follows the last one for `patience` seconds.

        """
        wait = None  # for the first one, serve.timeout
        while items := self._next(wait):
            yield items
            self._make_room(len(items))
            wait = patience
        if self._error is not None:
            raise self._error

    def _next(self, patience: float | None) -> list[Any]:
        while not (items := self._take()) and not self._ended:
            self._changed.clear()
            if not self._changed.wait(patience):
                self._give_up(patience)
        return items

    def _take(self) -> list[Any]:
        items: list[Any] = []
        while self._ahead:
            items.append(self._ahead.popleft())
        if self._keep:
            self.items += items
        return items

    def _make_room(self, items: int) -> None:
        for _ in range(items):
            self._room.put(True)

    def _give_up(self, patience: float | None) -> None:
        self._given_up = time.monotonic()
        told = f"the stream brought nothing for {patience:.3g} s"
        outlook = "it ends, its slot is held until the generator comes back"
        logs.event(f"{told}: {outlook}", level=logging.ERROR)
        self.break_off(Problem(504, told))

    def _close_source(self) -> BaseException | None:
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        except BaseException as raised:
            return as_outcome(raised)
        return None

    def _end(self, error: BaseException | None) -> None:
        self.running = False
        if self._given_up is not None:
            late = time.monotonic() - self._given_up
            told = f"the generator that was given up came back {late:.3g} s later"
            logs.event(told, level=logging.WARNING)
        if self._closed and error is not None:
            told = "the stream's generator raised after its reader had left"
            logs.event(told, level=logging.ERROR, traceback=user_traceback(error))
        if not self._ended:
            self._error, self._ended = error, True
        self._changed.set()
