"""The event loop that runs `async def` methods of a predictor: one, in a native thread, started
when the first one is called.

All of a predictor's coroutines share it, so that a client made in `async def load` works in `async
def before_predict`. Its selector is gevent's, as patched: the thread has a hub of its own, on which
the "threads" that async libraries start (resolvers, aiosqlite) run.
"""

from __future__ import annotations

from _queue import SimpleQueue  # queue.SimpleQueue is gevent's after patching
from typing import TYPE_CHECKING, Any

from gevent import monkey

from mlfunc_runtime.executor import Result

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from mlfunc_runtime.executor import Mailbox

_start_thread = monkey.get_original("_thread", "start_new_thread")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")


class AsyncLoop:
    """Runs coroutines for greenlets, and for native threads."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, function: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any) -> Any:
        """Run a coroutine and wait for it on the hub. A greenlet that stops waiting cancels it."""
        result: Result[Any] = Result()
        task = self._start(
            function(**arguments), lambda done: self._mailbox.post(lambda: _settle(result, done))
        )
        try:
            return result.get()
        except BaseException:
            task.cancel()
            raise

    def run_blocking(
        self, function: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any
    ) -> Any:
        """Run a coroutine and wait for it in this native thread."""
        finished = _allocate_lock()
        finished.acquire()
        task = self._start(function(**arguments), lambda _: finished.release())
        finished.acquire()
        return task.result()

    def close(self) -> None:
        """End the loop's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> _Handle:
        loop = self._running_loop()
        handle = _Handle(loop)

        def start() -> None:
            handle.task = loop.create_task(coroutine)
            handle.task.add_done_callback(done)

        loop.call_soon_threadsafe(start)
        return handle

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            made: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
            _start_thread(_run_forever, (made,))
            self._loop = made.get()
        return self._loop


class _Handle:
    """A task that the loop's thread has made, or will make in a moment."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.task: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self.task and self.task.cancel())

    def result(self) -> Any:
        assert self.task is not None  # noqa: S101 - its done callback has run
        return self.task.result()


def _settle(result: Result[Any], task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        result.fail(RuntimeError("the coroutine was cancelled"))
    elif (error := task.exception()) is not None:
        result.fail(error)
    else:
        result.succeed(task.result())


def _run_forever(made: SimpleQueue[asyncio.AbstractEventLoop]) -> None:
    """Made in its own thread: gevent's selector belongs to the hub of the thread that makes it."""
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    made.put(loop)
    loop.run_forever()
    loop.close()
