"""The end of a function: what was accepted is done, or told.

    answer what is here -> run the hooks -> refuse the rest -> dead letters -> unload

A small part of `serve.drain` is kept back for the third and the fourth.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.backlog import Backlog
    from mlfunc_runtime.pipeline import Pipeline

_TO_TELL = 2.0  # seconds kept back, but no more than half
_TO_REFUSE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Undone:
    """What a function leaves behind when it stops.

    `in_flight` requests did not get their reply, `hooks` that were accepted did not run to their
    end, `dead_lettered` of these are in the sink. `stuck` slots have a call that did not come back.
    """

    in_flight: int
    hooks: int
    dead_lettered: int
    unloaded: bool
    stuck: int = 0

    def __bool__(self) -> bool:
        return bool(self.in_flight or self.hooks or self.stuck or not self.unloaded)


def last_orders(deadline: float) -> float:
    """Until when requests and hooks may take; the time from then on is for telling."""
    return deadline - min(_TO_TELL, max(0.0, deadline - time.monotonic()) / 2)


def finish(
    pipeline: Pipeline | None,
    backlog: Backlog,
    last_reply: Callable[[float], object],
    until: float,
) -> None:
    """Wait until all requests are answered and all hooks done.

    Requests come in meanwhile on open connections, and make hooks: `last_reply` waits, for so many
    seconds at most, until there are no more. When this returns before `until` (time.monotonic),
    there was a moment without any, and that is now.
    """
    # First of all: a request may wait for room in the backlog, and that for a hook's next try.
    backlog.hurry(until)
    last_reply(until - time.monotonic())
    while (left := until - time.monotonic()) > 0 and (_in_flight(pipeline) or backlog.size):
        if pipeline is not None and pipeline.in_flight:
            pipeline.idle.wait(left)
        else:
            backlog.drain(left)


def give_up(pipeline: Pipeline | None, backlog: Backlog, deadline: float) -> tuple[int, int, int]:
    """End what is not done: requests cut off, hooks undone, and how many of these the sink has."""
    patience = min(_TO_REFUSE, max(0.05, (deadline - time.monotonic()) / 2))
    in_flight = pipeline.cut_off(patience) if pipeline is not None else 0
    hooks, dead_lettered = backlog.give_up(deadline)
    return in_flight, hooks, dead_lettered


def _in_flight(pipeline: Pipeline | None) -> int:
    return 0 if pipeline is None else pipeline.in_flight
