"""Locks and queues that greenlets of the hub and native threads share.

Each is the native object with a list of greenlets beside it. Native threads block on the native
object. A greenlet tries it, takes its place on the list, tries again, so that no release is lost,
and waits to be woken by whoever releases. `threading`'s conditions, events, semaphores and
barriers, `queue.Queue` and futures are Python code on top of these, and so work across as well.
"""

from __future__ import annotations

import functools
import queue
import threading
from _queue import SimpleQueue as NativeQueue
from _thread import allocate_lock
from collections import deque
from contextlib import suppress
from queue import Empty
from types import GenericAlias
from typing import Any

from gevent import getcurrent

from mlfunc_runtime.patching import hub
from mlfunc_runtime.patching.replacing import replace


def patch() -> None:
    """The locks that Python code makes. The import system's stay native: nothing waits in them."""
    replace(threading, Lock=Lock, _allocate_lock=Lock, RLock=RLock, _CRLock=RLock, _PyRLock=RLock)
    replace(functools, RLock=RLock)
    replace(queue, SimpleQueue=SimpleQueue)


class Lock:
    """`threading.Lock`.

    Whoever comes while it is free takes it, as with the native lock. Only a greenlet that was woken
    and came too late is handed the lock by the next release: it needs longer to wake than a native
    thread, and would starve beside one.
    """

    __slots__ = ("__weakref__", "_native", "_turns")

    def __init__(self) -> None:
        self._native = allocate_lock()
        # Most locks never have a greenlet waiting, and a deque is 600 bytes.
        self._turns: deque[hub.Turn] | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`."""
        if self._native.acquire(False):
            return True
        if blocking and hub.on_hub():
            return self._wait(timeout)
        return self._native.acquire(blocking, timeout)

    def release(self) -> None:
        """As `threading.Lock.release`."""
        if self._turns:
            self._release_to_greenlet()
            return
        self._native.release()
        if self._turns:
            self._wake_next()

    def locked(self) -> bool:
        """As `threading.Lock.locked`."""
        return self._native.locked()

    def __enter__(self) -> bool:
        return self._native.acquire(False) or self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__name__} object at {id(self):#x}>"

    def _at_fork_reinit(self) -> None:
        self._native = allocate_lock()
        self._turns = None

    def _wait(self, timeout: float) -> bool:
        if timeout < 0 and timeout != -1:
            message = "timeout value must be a non-negative number"
            raise ValueError(message)
        turn = self._take_place()
        taken = False
        try:
            with hub.limit(None if timeout == -1 else timeout):
                taken = self._take(turn)
        except BaseException:
            if self._leave(turn):
                self.release()
            raise
        handed_over = self._leave(turn)
        if taken and handed_over:
            # Another thread released it between the two: a lock may be released by anybody.
            self.release()
        return taken or handed_over

    def _take_place(self) -> hub.Turn:
        # Only greenlets of the hub come here, so nobody else makes the deque meanwhile.
        if self._turns is None:
            self._turns = deque()
        self._turns.append(turn := hub.Turn())
        return turn

    def _take(self, turn: hub.Turn) -> bool:
        """True when the lock is taken, False when it was handed over."""
        while not self._native.acquire(False):
            turn.wait()
            if turn.claimed():
                return False
            turn.overtaken = True
        return True

    def _leave(self, turn: hub.Turn) -> bool:
        """Whether the lock was handed over. A wake-up that is not used goes to the next one."""
        if not turn.claim():
            return True
        self._forget(turn)
        if not self._native.locked():
            self._wake_next()
        return False

    def _release_to_greenlet(self) -> None:
        first = self._first()
        if not self._native.locked() or first is None or not first.overtaken or not hub.exists():
            self._native.release()
            self._wake_next()
        elif first.claim():
            self._forget(first)
            first.wake()
        else:
            self._native.release()

    def _wake_next(self) -> None:
        first = self._first()
        if first is not None and hub.exists():
            first.wake()

    def _first(self) -> hub.Turn | None:
        if self._turns:
            with suppress(IndexError):
                return self._turns[0]
        return None

    def _forget(self, turn: hub.Turn) -> None:
        if self._turns is not None:
            self._turns.remove(turn)


class RLock:
    """`threading.RLock`.

    Its owner is a greenlet: those of the hub share one thread, and every other thread has one.
    """

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self) -> None:
        self._block = Lock()
        self._owner: object = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.RLock.acquire`."""
        me = getcurrent()
        if self._owner is me:
            self._count += 1
            return True
        if not self._block.acquire(blocking, timeout):
            return False
        self._owner = me
        self._count = 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        """As `threading.RLock.release`."""
        if self._owner is not getcurrent():
            message = "cannot release un-acquired lock"
            raise RuntimeError(message)
        self._count -= 1
        if not self._count:
            self._owner = None
            self._block.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "locked" if self._block.locked() else "unlocked"
        return f"<{state} RLock object count={self._count} at {id(self):#x}>"

    # What threading.Condition calls.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> tuple[int, object]:
        if not self._count:
            message = "cannot release un-acquired lock"
            raise RuntimeError(message)
        state = self._count, self._owner
        self._count = 0
        self._owner = None
        self._block.release()
        return state

    def _acquire_restore(self, state: tuple[int, object]) -> None:
        self._block.acquire()
        self._count, self._owner = state

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _at_fork_reinit(self) -> None:
        self._block._at_fork_reinit()
        self._owner = None
        self._count = 0


class SimpleQueue:
    """`queue.SimpleQueue`; its `put` may interrupt itself, as the native one's: a weakref's
    callback in concurrent.futures calls it at any time.
    """

    __slots__ = ("__weakref__", "_native", "_turns")

    def __init__(self) -> None:
        self._native: NativeQueue[Any] = NativeQueue()
        self._turns: deque[hub.Turn] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As `queue.SimpleQueue.put`; it never blocks."""
        del block, timeout
        self._native.put(item)
        self._wake_next()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `queue.SimpleQueue.get`."""
        if block and hub.on_hub():
            return self._wait(timeout)
        return self._native.get(block, timeout)

    put_nowait = put

    def get_nowait(self) -> Any:
        """As `queue.SimpleQueue.get_nowait`."""
        return self._native.get(False)

    def empty(self) -> bool:
        """As `queue.SimpleQueue.empty`."""
        return self._native.empty()

    def qsize(self) -> int:
        """As `queue.SimpleQueue.qsize`."""
        return self._native.qsize()

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def _wait(self, timeout: float | None) -> Any:
        if timeout is not None and timeout < 0:
            message = "'timeout' must be a non-negative number"
            raise ValueError(message)
        self._turns.append(turn := hub.Turn())
        try:
            with hub.limit(timeout):
                return self._take(turn)
        finally:
            self._turns.remove(turn)
            if self._native.qsize():
                self._wake_next()
        raise Empty

    def _take(self, turn: hub.Turn) -> Any:
        while True:
            with suppress(Empty):
                return self._native.get(False)
            turn.wait()

    def _wake_next(self) -> None:
        if self._turns and hub.exists():
            with suppress(IndexError):
                self._turns[0].wake()
