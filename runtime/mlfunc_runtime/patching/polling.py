"""`select.select`, `select.poll` and `select.epoll`, and with them all of `selectors`.

On the hub they ask the kernel without waiting, and then wait for an epoll descriptor that has all
the others: itself one that the hub can watch.
"""

from __future__ import annotations

import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mlfunc_runtime.patching import hub
from mlfunc_runtime.patching.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")
_native_select = select.select
native_poll = select.poll
_native_epoll = select.epoll
_ANY = select.POLLIN | select.POLLPRI | select.POLLOUT


def patch() -> None:
    """Classes of `selectors` take these names when that module is imported, by `socket`."""
    replace(select, select=select_, poll=Poll, epoll=Epoll)
    if selectors := sys.modules.get("selectors"):
        selectors.SelectSelector._select = staticmethod(select_)
        selectors.PollSelector._selector_cls = Poll
        selectors.EpollSelector._selector_cls = Epoll


def select_(
    rlist: Iterable[Any],
    wlist: Iterable[Any],
    xlist: Iterable[Any],
    timeout: float | None = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    """`select.select`."""
    if not hub.on_hub():
        return _native_select(rlist, wlist, xlist, timeout)
    asked = list(rlist), list(wlist), list(xlist)
    masks: dict[int, int] = {}
    for objects, event in zip(asked, (select.POLLIN, select.POLLOUT, select.POLLPRI), strict=True):
        for each in objects:
            descriptor = each if isinstance(each, int) else each.fileno()
            masks[descriptor] = masks.get(descriptor, 0) | event
    return _cooperatively(lambda: _native_select(*asked, 0), masks, timeout)


class Poll:
    """`select.poll`."""

    def __init__(self) -> None:
        self._native = native_poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = _ANY, /) -> None:
        """As `select.poll.register`."""
        self._native.register(fd, eventmask)
        self._masks[fd if isinstance(fd, int) else fd.fileno()] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """As `select.poll.modify`."""
        self._native.modify(fd, eventmask)
        self._masks[fd if isinstance(fd, int) else fd.fileno()] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """As `select.poll.unregister`."""
        self._native.unregister(fd)
        self._masks.pop(fd if isinstance(fd, int) else fd.fileno(), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """As `select.poll.poll`: milliseconds."""
        if not hub.on_hub():
            return self._native.poll(timeout)
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        return _cooperatively(lambda: self._native.poll(0), self._masks, seconds)


class Epoll:
    """`select.epoll`."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._hold(_native_epoll(sizehint, flags))

    @classmethod
    def fromfd(cls, fd: int, /) -> Self:
        """As `select.epoll.fromfd`."""
        made = cls.__new__(cls)
        made._hold(_native_epoll.fromfd(fd))
        return made

    def _hold(self, native: select.epoll) -> None:
        self._native = native
        self.register = native.register
        self.modify = native.modify
        self.unregister = native.unregister
        self.fileno = native.fileno
        self.close = native.close

    @property
    def closed(self) -> bool:
        """As `select.epoll.closed`."""
        return self._native.closed

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """As `select.epoll.poll`: seconds."""
        if not hub.on_hub():
            return self._native.poll(timeout, maxevents)
        ready = self._native.poll(0, maxevents)
        if not ready and hub.wait_readable(self.fileno(), _limit(timeout)):
            ready = self._native.poll(0, maxevents)
        return ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _limit(timeout: float | None) -> float | None:
    return None if timeout is None or timeout < 0 else timeout


def _cooperatively(attempt: Callable[[], T], masks: Mapping[int, int], seconds: float | None) -> T:
    """What `attempt` finds ready, now or within `seconds`."""
    found = attempt()
    if _nothing(found) and seconds != 0:
        with hub.limit(seconds), _watching(masks) as epoll:
            while _nothing(found):
                hub.wait_readable(epoll.fileno())
                epoll.poll(0)
                found = attempt()
    return found


def _nothing(found: Any) -> bool:
    return not any(found)


def _watching(masks: Mapping[int, int]) -> select.epoll:
    """It tells of changes only: a hang-up, which is always told, is none of what select() finds."""
    epoll = _native_epoll()
    for descriptor, mask in masks.items():
        # A regular file is always ready, and epoll refuses it.
        with suppress(PermissionError):
            epoll.register(descriptor, mask | select.EPOLLET)
    return epoll
