"""What senders are told: 202 once their events are kept, else why they are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mlfunc.supervisor.broker import cloudevents
from mlfunc.supervisor.broker.cloudevents import BadEvent
from mlfunc.supervisor.http.messages import Headers, Reply, json_reply

if TYPE_CHECKING:
    from mlfunc.errors import MlfuncError
    from mlfunc.supervisor.broker.cloudevents import Event
    from mlfunc.supervisor.http.messages import Request

# The gateway's, and the one by which an API server passes requests on to Knative's brokers.
_PATH = re.compile(
    r"(?:/-/broker|/api/v1/namespaces/knative-eventing/services/[^/]+/proxy)/([^/]+)/([^/]+)/?"
)
_PASSED_ON = ("x-request-id", "x-b3-", "knative-")
_ALLOW = ("allow", "POST, OPTIONS")


class Address(NamedTuple):
    """Of a broker."""

    namespace: str
    broker: str


def address(path: str) -> Address | None:
    """Which broker is meant, if it is one."""
    found = _PATH.fullmatch(path)
    return Address(*found.groups()) if found else None


def events(request: Request) -> list[Event] | Reply:
    """What a request brings, or how it is refused."""
    if request.method == "OPTIONS":
        return Reply(200, [_ALLOW, ("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "*")])
    if request.method != "POST":
        return problem(405, "Method not allowed", f"send events with POST, not {request.method}")
    try:
        return cloudevents.decode(request.headers, request.body)
    except BadEvent as error:
        return problem(400, "No valid event", str(error))


def passed_on(headers: Headers) -> dict[str, str]:
    """What a function gets of the headers that an event came with."""
    return {name: value for name, value in headers if name.startswith(_PASSED_ON)}


def not_kept(error: MlfuncError) -> Reply:
    """Nothing of the request is: its sender has to try again."""
    if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_FULL":
        return problem(507, "Disk full", "the disk is full: the event is not kept; make room")
    return problem(503, "Not kept", f"the event cannot be kept: {error.message}")


def problem(status: int, title: str, detail: str) -> Reply:
    """A refusal, in words."""
    reply = json_reply(status, {"title": title, "status": status, "detail": detail})
    allow = [_ALLOW] if status == 405 else []
    return Reply(status, [("content-type", "application/problem+json"), *allow], reply.body)
