"""Which of the two worlds this is; how a greenlet of the hub waits for what any thread may do."""

from __future__ import annotations

import signal
from _thread import allocate_lock, get_ident
from typing import TYPE_CHECKING, Any

from gevent import Timeout, get_hub, getcurrent
from gevent.hub import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

_hub: Any = None
_thread: int | None = None
_wakeable: Any = None
_handler: Callable[..., object] | None = None
_usual: dict[int, Any] = {}
_CAUGHT = (signal.SIGTERM, signal.SIGINT)
_masks: dict[int, set[int]] = {}


def adopt() -> None:
    """Make the calling thread the hub's."""
    global _hub, _thread, _wakeable
    _hub, _thread = get_hub(), get_ident()
    # Native threads can wake it at any time, so it must not end when no greenlet waits for IO.
    _wakeable = _hub.loop.async_()
    _wakeable.start(lambda: None)


def leave() -> None:
    """No thread is the hub's: this is a forked child."""
    global _thread
    _thread = None


def catch_signals(handler: Callable[..., object]) -> None:
    """Have Python call `handler` for a signal that asks the process to end.

    Unlike gevent's handlers, it interrupts also what computes on the hub.
    """
    global _handler
    _handler = handler
    for number in _CAUGHT:
        _usual[number] = signal.getsignal(number)
        signal.signal(number, handler)


def hold_signals() -> None:
    """Before a fork: they wait until the child has handlers of its own. A child that got its
    parent's would never end: `multiprocessing.Pool.terminate` would wait for it for ever.
    """
    _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)


def release_signals() -> None:
    """After a fork, in the parent."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop(get_ident()))


def own_signals() -> None:
    """After a fork, in the child: signals do what they did before ours were caught."""
    for number, usual in _usual.items():
        if signal.getsignal(number) is _handler:
            signal.signal(number, usual or signal.SIG_DFL)
    release_signals()


def on_hub_thread() -> bool:
    """Whether this is the hub's native thread."""
    return get_ident() == _thread


def on_hub() -> bool:
    """Whether waiting must be cooperative, and can be.

    The hub's own callbacks run in its thread too, but cannot wait for it: they block, as a thread.
    """
    return get_ident() == _thread and getcurrent() is not _hub


def exists() -> bool:
    """Whether this process has a hub that runs: forked children have none."""
    return _thread is not None


def main() -> Any:
    """The hub, for any thread. In a forked child it is still what sockets are made with."""
    return _hub


def call_soon(function: Callable[..., object], *arguments: Any) -> None:
    """Have the hub call a function. Safe from any thread; many calls cost one wake-up."""
    _hub.loop.run_callback_threadsafe(function, *arguments)


def turn() -> None:
    """Let the loop look at its sockets and timers once: for a greenlet that computes for long.

    `gevent.sleep(0)` lets those go on that are ready already, and looks at no socket.
    """
    here: Any = get_hub()
    watcher = here.loop.timer(0)
    try:
        here.wait(watcher)
    finally:
        watcher.close()


def limit(seconds: float | None) -> Timeout:
    """A `with` block that a greenlet leaves, without an error, after some time; None: never."""
    silent: Any = False
    return Timeout(seconds, silent)


def wait_readable(descriptor: int, seconds: float | None = None) -> bool:
    """Let other greenlets run until there is something to read; False when time is up."""
    watcher = _hub.loop.io(descriptor, 1)
    try:
        with limit(seconds):
            _hub.wait(watcher)
            return True
        return False
    finally:
        watcher.close()


class Turn:
    """A greenlet's place among those who wait for something; any thread may wake it."""

    __slots__ = ("_claim", "_waiter", "_woken", "overtaken")

    def __init__(self) -> None:
        self._claim = allocate_lock()
        self._waiter = Waiter(_hub)
        self._woken = False
        self.overtaken = False

    def claim(self) -> bool:
        """Whether the caller may decide how this ends: the first one who asks."""
        return self._claim.acquire(False)

    def claimed(self) -> bool:
        """Whether somebody decided."""
        return self._claim.locked()

    def wait(self) -> None:
        """Until it is woken, perhaps for nothing."""
        self._waiter.get()
        self._waiter.clear()
        # Before the caller looks again: what is released from now on wakes it anew.
        self._woken = False

    def wake(self) -> None:
        """Let `wait` return, this time or the next; many wake-ups are one."""
        if not self._woken:
            self._woken = True
            call_soon(self._waiter.switch, None)
