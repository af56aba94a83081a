"""Waiting for time and for threads; what is local to a thread; event loops that hooks start."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.local import local

from mlfunc_runtime.patching import hub
from mlfunc_runtime.patching.replacing import replace, when_imported

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_native_sleep = time.sleep
_LONGEST_PAUSE = 0.02


def patch() -> None:
    """Threads stay native; only waiting for them changes."""
    replace(time, sleep=sleep)
    replace(threading, local=local)
    _patch_join(threading.Thread)
    when_imported("asyncio.runners", _patch_run)


def sleep(seconds: float) -> None:
    """`time.sleep`."""
    if seconds >= 0 and hub.on_hub():
        gevent.sleep(seconds)
    else:
        _native_sleep(seconds)


def _patch_join(cls: Any) -> None:
    """C code tells that a thread has ended, and wakes no greenlet: it has to look now and then."""
    native = cls.join

    def join(self: Any, timeout: float | None = None) -> None:
        if hub.on_hub() and self is not threading.current_thread() and self.is_alive():
            with hub.limit(timeout):
                pause = 0.0
                while self.is_alive():
                    gevent.sleep(pause)
                    pause = min(_LONGEST_PAUSE, 2 * pause or 0.0005)
            timeout = None if timeout is None else 0
        native(self, timeout)

    cls.join = join


def _patch_run(runners: ModuleType) -> None:
    """A thread can run one event loop, and all hooks share one thread."""
    native = runners.run

    def run(main: Any, **options: Any) -> Any:
        """Run a coroutine in an event loop of its own."""
        if hub.on_hub():
            return _in_thread(native, main, **options)
        return native(main, **options)

    replace(runners, run=run)


def _in_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    from concurrent.futures import Future

    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(call,), daemon=True).start()
    return future.result()
