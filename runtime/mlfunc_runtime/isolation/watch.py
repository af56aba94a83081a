"""The thread that sees processes end, and ends those that use too much memory."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from mlfunc_runtime.isolation.process import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.isolation.process import Process

_BETWEEN_LOOKS = 0.5
_MIB = 2**20


class Watch:
    """Sleeps until a process ends; with a limit of memory, it looks twice a second."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._watched: dict[int, tuple[Process, Callable[[], object]]] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def add(self, process: Process, when_ended: Callable[[], object]) -> None:
        """Call `when_ended`, in this thread, when the process has ended. Safe from any thread."""
        told_by, event = process.pidfd, select.EPOLLIN
        if told_by is None:
            # Where the kernel has no descriptors of processes, the end of its socket is as good.
            told_by, event = process.channel.descriptor, select.EPOLLRDHUP
        # One of our own: its number is not taken by another file before we hear of its event.
        descriptor = os.dup(told_by)
        self._watched[descriptor] = process, when_ended
        self._epoll.register(descriptor, event)

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        with self._epoll:
            while self._wake not in (ended := dict(self._wait())):
                for descriptor in ended:
                    _, when_ended = self._watched.pop(descriptor)
                    self._epoll.unregister(descriptor)
                    os.close(descriptor)
                    when_ended()
                self._end_the_large()
        for descriptor in (self._wake, *self._watched):
            os.close(descriptor)

    def _wait(self) -> list[tuple[int, int]]:
        return self._epoll.poll(None if self._limit is None else _BETWEEN_LOOKS)

    def _end_the_large(self) -> None:
        for process, _ in list(self._watched.values()) if self._limit is not None else ():
            resident = process.resident()
            if self._limit is not None and resident > self._limit:
                told = (
                    f"the predictor's process used {resident // _MIB} MiB of memory, more than "
                    f"serve.process.memory, {self._limit // _MIB} MiB, and was ended"
                )
                process.kill(Ending("memory", told))
