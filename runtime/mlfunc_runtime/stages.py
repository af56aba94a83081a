"""A bound on how many requests are in one stage of their path at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gevent.event import Event

if TYPE_CHECKING:
    from types import TracebackType


class Stage:
    """A context that holds one of `bound` places; first come, first served. Used on the hub.

    A greenlet that is thrown out while it waits, by its deadline, leaves no place behind.
    """

    __slots__ = ("_queue", "bound", "running")

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.running = 0
        self._queue: deque[Event] = deque()

    @property
    def waiting(self) -> int:
        """How many have no place yet."""
        return len(self._queue)

    def __enter__(self) -> None:
        if self.running < self.bound:
            self.running += 1
            return
        turn = Event()
        self._queue.append(turn)
        try:
            turn.wait()
        except BaseException:
            self._leave_queue(turn)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        """The place goes to the next in the queue, so that nobody overtakes it."""
        if self._queue:
            self._queue.popleft().set()
        else:
            self.running -= 1

    def _leave_queue(self, turn: Event) -> None:
        """It may have been given the place in the very moment it was thrown out."""
        if turn.is_set():
            self._pass_on()
        else:
            self._queue.remove(turn)
