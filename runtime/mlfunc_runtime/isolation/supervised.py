"""The predictor's process of one slot: batches go to it; when it ends, another takes its place."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mlfunc_runtime import logs
from mlfunc_runtime.errors import Problem, StartupError, user_traceback
from mlfunc_runtime.isolation.crossing import Opened, lifted
from mlfunc_runtime.isolation.items import Items
from mlfunc_runtime.isolation.process import Ended, Ending, Limit, Process
from mlfunc_runtime.isolation.wire import Uncrossable
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batches import Item
    from mlfunc_runtime.executor import Mailbox, Slot
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.settings import Settings

    # Of each request of a batch: its id, and its arguments of predict.
    Payload = list[tuple[str, dict[str, Any]]]

_LONGEST_PAUSE = 30.0
# How much longer than the first start, which has no limit, another one may take; and how long in
# any case.
_SLOWER = 10
_LEAST_PATIENCE = 60.0


class Group(Protocol):
    """The processes of all slots, as one of them sees it."""

    # What a process predicts before it serves: the batch of the function's own warm-up.
    example: Payload | None

    def warmed_up(self, payload: Payload) -> bool:
        """Whether this batch, which runs now, is that warm-up."""
        ...

    def started(self, slot: Supervised, process: Process) -> None:
        """A process was started: watch it."""
        ...

    def lost(self, reason: str) -> None:
        """A process has ended, and another one is to take its place."""
        ...

    def back(self) -> None:
        """A process serves in place of one that has ended."""
        ...


class Supervised:
    """All methods run in the slot's thread, but for `kill`."""

    def __init__(self, slot: Slot, settings: Settings, mailbox: Mailbox, group: Group) -> None:
        self.slot = slot
        self.process: Process | None = None
        self._settings = settings
        self._mailbox = mailbox
        self._group = group
        self._stopping = threading.Event()
        self._flags = os.memfd_create("mlfunc", os.MFD_CLOEXEC)
        self._asks_for_request = False
        self._warm = self._serving = False
        self._losses = 0
        self._began = time.monotonic()
        # Seconds for a start anew; until when the one that runs must be done.
        self._patience = self._deadline = math.inf
        timeout = settings.process_timeout
        told = f"predict took more than {timeout:.3g} s and was ended"
        self._predicts_within = Limit(timeout, Ending("timeout", told))

    def spawn(self) -> None:
        """Start a process, which imports the predictor by itself."""
        self.process = process = Process(self._flags)
        self._group.started(self, process)
        process.ask("start", self._settings)
        if self._stopping.is_set():
            process.kill()

    def load(self, predictor: Predictor) -> None:
        """Wait until the process has imported the predictor, and have it load.

        Raises:
            Exception: what the predictor raised.
            StartupError: the process ended.

        """
        self._asks_for_request = "request" in predictor.binding.injected
        try:
            self._load()
        except Ended as ended:
            raise StartupError(str(ended)) from ended

    def settle(self) -> None:
        """Predict the example, unless the function's warm-up was here, and end the start.

        Raises:
            Exception: what the predictor raised.
            StartupError: the process ended.

        """
        try:
            self._settle()
        except Ended as ended:
            raise StartupError(str(ended)) from ended
        self._patience = max(_LEAST_PATIENCE, _SLOWER * (time.monotonic() - self._began))
        self._serving = True

    def run(self, batch: Sequence[Item]) -> list[Any]:
        """One outcome for each request. Those of a process that ends meanwhile are not tried again:
        one of them may be why.
        """
        process = self._revived()
        if process is None:
            stopped = Problem(503, "the function was stopped", headers={"Retry-After": "1"})
            return [stopped] * len(batch)
        try:
            outcomes = self._predict(process, batch)
        except Ended as ended:
            self.lose(ended, [item.request.id for item in batch])
            return [ended.ending.problem()] * len(batch)
        except Exception as error:
            return [error] * len(batch)
        self._losses = 0
        return outcomes

    def revive(self) -> None:
        """If the process has ended, start another; the slot takes no batch until that serves.

        During the function's start it does nothing: that fails.
        """
        if self._serving:
            self._revived()

    def lose(self, ended: Ended, requests: Sequence[str]) -> None:
        """Tell why the process has ended, and start another when the present call is over."""
        if not self._stopping.is_set():
            logs.event(
                f"{self.slot.name}: {ended}",
                level=logging.ERROR,
                reason=ended.ending.reason,
                requests=list(requests),
                output=ended.told_traceback,
            )
        self._forget(ended.ending)
        self.slot.run(self.revive)

    def unload(self) -> None:
        """Have the process unload. Raises what the predictor raised."""
        if self.process is None or not self.process.alive:
            return
        try:
            self.process.call("unload")
        except Ended as ended:
            raise RuntimeError(str(ended)) from None

    def kill(self) -> None:
        """End the process at once, and start no other. Safe from any thread."""
        self._stopping.set()
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Let go of what the process has left; it was killed before."""
        process, self.process = self.process, None
        if process is not None:
            process.close()
        os.close(self._flags)

    def _load(self) -> Process:
        if self.process is None:
            self.spawn()
        process = self.process
        assert process is not None  # noqa: S101 - spawned just now, if not before
        process.answer(self._starts_within())
        process.call("load", limit=self._starts_within())
        return process

    def _settle(self) -> None:
        assert self.process is not None  # noqa: S101 - it has loaded
        if not self._warm and self._group.example is not None:
            self.process.call("warm", self._group.example, limit=self._starts_within())
        self.process.call("settle", limit=self._starts_within())

    def _starts_within(self) -> Limit | None:
        """Whoever deploys sees that a first start hangs; one anew would hold its slot for ever."""
        if not self._serving:
            return None
        told = f"the predictor's process had not started after {self._patience:.3g} s and was ended"
        return Limit(max(0.0, self._deadline - time.monotonic()), Ending("load", told))

    def _predict(self, process: Process, batch: Sequence[Item]) -> list[Any]:
        payload = [(item.request.id, lifted(item.arguments)) for item in batch]
        self._warm |= self._group.warmed_up(payload)
        tick = self._tell_cancelled(batch) if self._asks_for_request else None
        try:
            process.ask("run", payload)
        except Uncrossable as error:
            told = f"what predict is given cannot cross to its process: {error}"
            raise Uncrossable(told) from error
        items = Items(self, process, batch, partial(self._answer, process, tick), tick)
        outcomes, states = self._answer(process, tick)
        items.update(states)
        return [
            Stream(items, self._mailbox) if isinstance(each, Opened) else each for each in outcomes
        ]

    def _answer(self, process: Process, tick: Callable[[], object] | None) -> Any:
        """A warm-up may take longer: it may compile the model."""
        return process.answer(self._predicts_within if self._serving else None, tick)

    def _tell_cancelled(self, batch: Sequence[Item]) -> Callable[[], object]:
        """A predictor that asks for the request may ask whether anybody still waits for it."""

        def tick() -> None:
            os.pwrite(self._flags, bytes(item.request.cancelled for item in batch), 0)

        tick()
        return tick

    def _revived(self) -> Process | None:
        """A process that runs; None when the function stops."""
        if self.process is not None and not self.process.alive:
            self.lose(self.process.post_mortem(), ())
        with self.slot.not_busy():
            while self.process is None and not self._stopping.wait(_pause(self._losses)):
                self._restart()
        return self.process

    def _restart(self) -> None:
        began = time.monotonic()
        self._deadline = began + self._patience
        self._warm = False
        try:
            process = self._load()
            self._settle()
        except Exception as error:
            self._not_restarted(error)
            return
        took = round(time.monotonic() - began, 3)
        told = f"{self.slot.name}: the predictor's process was started anew"
        logs.event(told, level=logging.WARNING, pid=process.pid, seconds=took)
        self.slot.ready = True
        self._group.back()

    def _not_restarted(self, error: Exception) -> None:
        told = f"the predictor's process could not be started anew: {error}"
        if not self._stopping.is_set():
            trace = user_traceback(error)
            logs.event(f"{self.slot.name}: {told}", level=logging.ERROR, traceback=trace)
        self._forget(Ending("load", told))

    def _forget(self, ending: Ending) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.close()
        self._losses += 1
        self.slot.ready = False
        if not self._stopping.is_set():
            self._group.lost(ending.reason)


def _pause(losses: int) -> float:
    """Seconds before another process is started: none, 1, 2, 4 ... 30."""
    return min(_LONGEST_PAUSE, 2.0 ** (losses - 2)) if losses > 1 else 0.0
