"""What is told of events as they pass, to those who watch: one record a step."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlfunc.supervisor.broker.answers import Answer
    from mlfunc.supervisor.broker.journal import Arrival, Delivery

Record = dict[str, Any]

_AHEAD = 10_000  # records that one who watches may be behind


class Passing:
    """Nobody is waited for: who is too far behind misses some."""

    def __init__(self) -> None:
        self._watchers: dict[asyncio.Queue[Record], str | None] = {}

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._watchers)

    def tell(self, record: Record) -> None:
        """Those who watch its namespace."""
        for queue, namespace in self._watchers.items():
            if namespace in (None, record["namespace"]) and not queue.full():
                queue.put_nowait(record)

    async def lines(self, namespace: str | None) -> AsyncIterator[bytes]:
        """JSON, a line each, from now on."""
        queue: asyncio.Queue[Record] = asyncio.Queue(_AHEAD)
        self._watchers[queue] = namespace
        try:
            while True:
                yield msgspec.json.encode(await queue.get()) + b"\n"
        finally:
            del self._watchers[queue]


def accepted(arrival: Arrival, to: list[str]) -> Record:
    """It has come, and goes there."""
    return {
        "time": time.time(),
        "step": "accepted",
        "namespace": arrival.namespace,
        "broker": arrival.broker,
        "event": arrival.event.attributes,
        "to": to,
    }


def tried(delivery: Delivery, step: str, target: str, answer: Answer) -> Record:
    """It was sent, and this came of it; `step` is delivered, again, dead letter, dead or lost."""
    return {
        "time": time.time(),
        "step": step,
        "namespace": delivery.way.namespace,
        "broker": delivery.broker,
        "event": delivery.event.attributes,
        "trigger": delivery.way.name,
        "target": target,
        "try": delivery.failures + 1,
        "status": answer.attempt.status,
        "problem": answer.attempt.problem,
        "seconds": round(answer.attempt.seconds, 6),
        "reply": answer.reply.attributes if answer.reply else None,
    }
