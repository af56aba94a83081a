"""Work done side by side, in threads that nobody has to wait for.

Those of an executor hold up the end of a program, with all that they wait for, after Ctrl-C. What
these have started ends with the program.
"""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

_LEAVE_SECONDS = 2  # for the others to notice that one has failed


def each(
    work: Callable[[T], R], items: Sequence[T], *, at_once: int, stop: Callable[[], None]
) -> list[R]:
    """What `work` gives for each item, in their order; they are taken in order, too.

    The first failure is raised, as is what interrupts the wait; before, `stop` tells those that are
    at work to leave it, and no other item is begun.
    """
    todo: SimpleQueue[tuple[int, T]] = SimpleQueue()
    done: SimpleQueue[tuple[int, R] | BaseException] = SimpleQueue()
    over = threading.Event()
    for numbered in enumerate(items):
        todo.put(numbered)

    def serve() -> None:
        with contextlib.suppress(Empty):
            while not over.is_set():
                number, item = todo.get_nowait()
                try:
                    done.put((number, work(item)))
                except BaseException as error:  # whoever waits raises it
                    done.put(error)
                    return

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(at_once, len(items)))]
    for thread in threads:
        thread.start()
    try:
        return _collected(done, len(items))
    except BaseException:
        over.set()
        stop()
        _leave(threads)
        raise


def guarded(work: Callable[[], T], guard: Callable[[], None], *, stop: Callable[[], None]) -> T:
    """What `work` gives or raises, unless `guard`, beside it, raises before.

    `stop` tells the guard to leave it; that there is nothing to raise ends only the guard.
    """
    done: SimpleQueue[tuple[T] | BaseException] = SimpleQueue()

    def serve() -> None:
        try:
            done.put((work(),))
        except BaseException as error:  # whoever waits raises it
            done.put(error)

    def watch() -> None:
        try:
            guard()
        except BaseException as error:  # whoever waits raises it
            done.put(error)

    for each_ in (serve, watch):
        threading.Thread(target=each_, daemon=True).start()
    try:
        ended = done.get()
    finally:
        stop()
    if isinstance(ended, BaseException):
        raise ended
    return ended[0]


def _collected(done: SimpleQueue[tuple[int, R] | BaseException], count: int) -> list[R]:
    results: dict[int, R] = {}
    while len(results) < count:
        ended = done.get()
        if isinstance(ended, BaseException):
            raise ended
        number, result = ended
        results[number] = result
    return [results[number] for number in range(count)]


def _leave(threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + _LEAVE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
