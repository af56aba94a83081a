"""What the dashboard asks of the parts that it looks at, beside objects and fleet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mlfunc.supervisor.parts import Key

DeliveryState = Literal[
    "waiting",  # for its first try
    "retrying",  # it has failed, and is tried again
    "delivered",
    "dead",  # given up: a dead letter
    "lost",  # given up, and there is nobody who takes dead letters
    "dropped",  # its trigger is gone
]


@dataclass(frozen=True)
class Latencies:
    """A histogram: `counts[i]` took at most `bounds[i]` seconds, and more than the bound before.

    The last count is of those that took longer than all bounds.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Counted:
    """What the gateway has counted of a revision since it began: totals only grow."""

    in_flight: int = 0  # now, in instances
    waiting: int = 0  # now, for one
    statuses: Mapping[str, int] = field(default_factory=dict)  # replies by `2xx` … `5xx`
    latencies: Latencies = Latencies()
    held: int = 0  # requests that came while there was no instance


class Statistics(Protocol):
    """A gateway that counts."""

    def stats(self) -> Mapping[Key, Counted]:
        """Of each revision it knows."""
        ...


@dataclass(frozen=True)
class Delivery:
    """What became of an event with one trigger."""

    trigger: str
    subscriber: str  # the name of a function, else a URL
    state: DeliveryState
    attempts: int = 0
    status: int | None = None  # of the last reply
    seconds: float | None = None  # until it
    problem: str = ""  # why it failed the last time
    reply: int | None = None  # `number` of the event it was answered with


@dataclass(frozen=True)
class Passage:
    """An event that a broker has taken, and where it went."""

    number: int  # grows
    at: float  # seconds since 1970
    namespace: str
    broker: str
    id: str
    source: str
    type: str
    subject: str = ""
    data: str = ""  # how it begins
    deliveries: tuple[Delivery, ...] = ()


class History(Protocol):
    """A broker that remembers."""

    async def recent(self, limit: int) -> Sequence[Passage]:
        """The last so many, the newest first."""
        ...


class Logs(Protocol):
    """What instances have said."""

    def follow(self, namespace: str, instance: str, tail: int) -> AsyncIterator[bytes]:
        """The last so many lines, then each that comes until the instance is gone.

        A line begins with its RFC 3339 time and a space, and has no line feed at its end.
        """
        ...
