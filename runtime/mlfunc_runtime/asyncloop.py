"""The event loop that runs `async def` methods of a predictor: one, in a thread of its own.

All of a predictor's coroutines share it, so that a client made in `async def load` works in `async
def before_predict`. asyncio there is as Python ships it: the thread is none of the hub's.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import logs
from mlfunc_runtime.errors import user_traceback
from mlfunc_runtime.executor import Result

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from concurrent.futures import Future

    from mlfunc_runtime.executor import Mailbox

_ENDS_THE_LOOP = (SystemExit, KeyboardInterrupt)


class AsyncLoop:
    """Runs coroutines for greenlets, and for native threads."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._starting = threading.Lock()
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def start(self) -> None:
        """Start the thread, which imports asyncio, if it is not started. Returns at once.

        The first coroutine starts it too, and waits for all that.
        """
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="async", daemon=True)
                self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and wait for it on the hub. A greenlet that stops waiting cancels it."""
        result: Result[Any] = Result()
        future = self._submit(coroutine)
        future.add_done_callback(lambda done: self._mailbox.post(lambda: _settle(result, done)))
        try:
            return result.get()
        except BaseException:
            future.cancel()
            raise

    def run_blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and wait for it in this native thread."""
        return self._submit(coroutine).result()

    def close(self) -> None:
        """End the loop's thread."""
        self._closed = True
        if self._thread is not None:
            loop = self._started()
            loop.call_soon_threadsafe(loop.stop)

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        loop = self._started()
        import asyncio  # by now the loop's thread has imported it, beside the hub

        return asyncio.run_coroutine_threadsafe(_contained(coroutine), loop)

    def _started(self) -> asyncio.AbstractEventLoop:
        self.start()
        self._running.wait()
        assert self._loop is not None  # noqa: S101 - it is made before it is said to run
        return self._loop

    def _run(self) -> None:
        import asyncio

        self._loop = loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._running.set()
        while not self._closed:
            _run_until_stopped(loop)
        loop.close()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """A task that user code started can end the loop; the other coroutines need it."""
    try:
        loop.run_forever()
    except _ENDS_THE_LOOP as error:
        told = f"a task raised {type(error).__name__}"
        logs.event(told, level=logging.ERROR, traceback=user_traceback(error))


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """asyncio lets these two end the loop, as they end a program."""
    try:
        return await coroutine
    except _ENDS_THE_LOOP as error:
        name = getattr(coroutine, "__name__", "a coroutine")
        raise RuntimeError(f"{name} raised {type(error).__name__}") from error


def _settle(result: Result[Any], future: Future[Any]) -> None:
    if future.cancelled():
        result.fail(RuntimeError("the coroutine was cancelled"))
    elif (error := future.exception()) is not None:
        result.fail(error)
    else:
        result.succeed(future.result())
