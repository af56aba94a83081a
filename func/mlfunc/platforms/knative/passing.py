"""Events as they pass through the brokers of a namespace, which the local platform tells of."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.platforms.knative.addressing import Where

_ENDS = {
    "again": "is tried again",
    "dead letter": "goes to the dead letters",
    "dead": "has the dead letter",
    "lost": "is lost: nothing takes its dead letters",
}


def watch(where: Where, function: str | None) -> Iterator[dict[str, Any]]:
    """What becomes of events from now on, a step each: of a function's, or all of the namespace.

    Raises:
        UsageError: the platform is one whose brokers tell nobody.

    """
    _refuse_cluster(where)
    cluster = where.connect(start="always")
    query = {"namespace": cluster.namespace, "watch": "true"}
    with cluster.lines("/-/events", query) as lines:
        for line in lines:
            step = json.loads(line)
            if function is None or f"ksvc:{function}" in _places(step):
                yield step


def line(step: dict[str, Any]) -> str:
    """A step, for people."""
    event, time = step["event"], datetime.datetime.fromtimestamp(step["time"]).astimezone()
    begins = f"{time:%H:%M:%S}.{time.microsecond // 1000:03}  {event['type']}  {event['id']}"
    if step["step"] == "accepted":
        return f"{begins}  from {event['source']} to {', '.join(step['to']) or 'nobody'}"
    return f"{begins}  {step['target']} {_outcome(step)}"


def _refuse_cluster(where: Where) -> None:
    if where.chosen().name != "local":
        message = "events that pass are shown on the local platform: Knative's brokers tell nobody"
        hint = "mlfunc logs shows what came to a function; or subscribe one that logs every event"
        raise UsageError(message, hint)


def _places(step: dict[str, Any]) -> list[str]:
    places: list[str] = step["to"] if step["step"] == "accepted" else [step["target"]]
    return places


def _outcome(step: dict[str, Any]) -> str:
    answered = "does not answer" if step["status"] < 0 else f"answers {step['status']}"
    words = [f"{answered} in {step['seconds'] * 1000:.0f} ms"]
    if step["reply"]:
        words.append(f"replies {step['reply']['type']} {step['reply']['id']}")
    if step["step"] in _ENDS:
        words.append(_ENDS[step["step"]])
    if step["problem"]:
        words.append(" ".join(step["problem"].split()))
    return ", ".join(words)
