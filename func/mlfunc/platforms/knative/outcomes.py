"""What became of a function's events, which the local platform counts: Knative's brokers do not."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlfunc.cluster.client import Cluster


@dataclass(frozen=True)
class Failure:
    """A try in vain: `at` in seconds since 1970, `status` of the answer, negative if none came."""

    at: float
    event: str
    type: str
    phase: str  # to whom: subscriber, dead letter
    status: int
    problem: str

    def __str__(self) -> str:
        """For people."""
        when = datetime.datetime.fromtimestamp(self.at).astimezone()
        answered = "no answer" if self.status < 0 else f"answered {self.status}"
        whose = "its dead letter" if self.phase == "dead letter" else "event"
        words = f"{when:%Y-%m-%d %H:%M:%S}, {whose} {self.event} of type {self.type}, {answered}"
        return ": ".join(filter(None, (words, " ".join(self.problem.split()))))


@dataclass(frozen=True)
class Outcome:
    """Of a Trigger or PingSource, since it is there: events, and of `failed` the tries."""

    source: str
    delivered: int = 0
    dead: int = 0  # what failed, delivered to who gets dead letters
    lost: int = 0  # what failed, and nothing has it
    waiting: int = 0  # for a first or another try
    failed: int = 0
    failure: Failure | None = None  # the last


def counted(cluster: Cluster, sources: Collection[str]) -> list[Outcome] | None:
    """Of each of these; None: there is nobody who counts.

    Raises:
        MlfuncError: the local platform does not answer.

    """
    if not cluster.access.named:
        return None
    query = {"namespace": cluster.namespace, "outcomes": "true"}
    told = cluster.fetch("/-/events", query)["outcomes"]
    known = {each["name"]: _read(each) for each in told}
    return [known.get(source, Outcome(source)) for source in sources]


def _read(told: dict[str, Any]) -> Outcome:
    failure = Failure(**told["failure"]) if told["failure"] else None
    counts = {name: told[name] for name in ("delivered", "dead", "lost", "waiting", "failed")}
    return Outcome(told["name"], **counts, failure=failure)
