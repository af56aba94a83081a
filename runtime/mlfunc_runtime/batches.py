"""A request's place in a batch, and what becomes of the batches that slots run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gevent.hub import Waiter

from mlfunc_runtime.calls import as_outcome
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.messages import Request

    # A batch in, one outcome each out: a value, or the exception that fails that one alone.
    Run = Callable[[Sequence["Item"]], Sequence[Any]]


class Item:
    """One request's place in the queue and, later, its outcome.

    `waits` is true until it is taken or given up. `deadline` is in seconds of time.perf_counter.
    """

    __slots__ = (
        "arguments",
        "deadline",
        "enqueued",
        "finished",
        "key",
        "outcome",
        "request",
        "size",
        "started",
        "waiter",
        "waits",
    )

    def __init__(
        self, request: Request, arguments: dict[str, Any], size: float = 1.0, key: object = ()
    ) -> None:
        self.request = request
        self.arguments = arguments
        self.size = size
        self.key = key
        self.deadline = request.deadline
        self.waits = True
        self.outcome: Any = None
        self.waiter: Waiter[None] = Waiter()
        self.enqueued = time.perf_counter()
        self.started = self.finished = 0.0


def settle(item: Item) -> Any:
    """The outcome, for the request that waited for it. Raises what predict raised."""
    request = item.request
    if isinstance(item.outcome, Stream):
        request.streams.append(item.outcome)
    request.begun = True
    request.timings.queue = item.started - item.enqueued
    request.timings.predict = item.finished - item.started
    if isinstance(item.outcome, BaseException):
        raise item.outcome
    return item.outcome


def run_safely(run: Run, batch: list[Item]) -> Sequence[Any]:
    """One for each, whatever `run` does: the slot must go on, and nobody may wait for ever."""
    try:
        outcomes = run(batch)
    except BaseException as error:
        return [as_outcome(error)] * len(batch)
    if len(outcomes) != len(batch):
        message = f"{len(outcomes)} outcomes for a batch of {len(batch)}"
        return [RuntimeError(message)] * len(batch)
    return outcomes


def note(batch: Sequence[Item], outcomes: Sequence[Any], started: float) -> None:
    """What became of each, and when."""
    finished = time.perf_counter()
    for item, outcome in zip(batch, outcomes, strict=True):
        item.started, item.finished, item.outcome = started, finished, outcome


def answer(batch: Sequence[Item]) -> None:
    """On the hub: each request goes on at once, until it waits for something else."""
    for item in batch:
        item.waiter.switch(None)
        if item.request.cancelled and isinstance(item.outcome, Stream):
            item.outcome.close()


def failed(item: Item) -> bool:
    """Whether its outcome is an exception."""
    return isinstance(item.outcome, BaseException)


def units(batch: Sequence[Item]) -> float:
    """The sizes of all, added up."""
    return batch[0].size if len(batch) == 1 else sum(item.size for item in batch)


def longest(batch: Sequence[Item]) -> float:
    """The size of the largest."""
    return batch[0].size if len(batch) == 1 else max(item.size for item in batch)
