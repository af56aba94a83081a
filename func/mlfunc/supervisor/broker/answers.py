"""What an answer to an event means, and what follows: done, again later, a dead letter. Pure."""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mlfunc.supervisor.broker import cloudevents, delivery
from mlfunc.supervisor.broker.cloudevents import BadEvent, Event
from mlfunc.supervisor.broker.journal import Attempt

if TYPE_CHECKING:
    from mlfunc.supervisor.broker.delivery import Policy
    from mlfunc.supervisor.broker.journal import Delivery
    from mlfunc.supervisor.broker.subscriptions import Subscription
    from mlfunc.supervisor.http.messages import Reply

_LONGEST_ERROR = 1024  # of what a dead letter says in Base64, as in Knative
_SHOWN = 200
_ACCEPTED = 202  # what has it is no reply, whatever its body


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took; `reply`: an event."""

    attempt: Attempt
    body: bytes = b""
    reply: Event | None = None

    @property
    def is_success(self) -> bool:
        """Whether it has the event now."""
        return 200 <= self.attempt.status < 300


@dataclass(frozen=True)
class Again:
    """Later."""

    pause: float


@dataclass(frozen=True)
class GiveUp:
    """No more tries: it goes to the dead letters, with these attributes, if there are any."""

    error: dict[str, str]


@dataclass(frozen=True)
class Done:
    """It was delivered."""


Step = Done | Again | GiveUp


def read(reply: Reply, seconds: float) -> Answer:
    """An HTTP reply to an event: a body that is no event is a failure, as Knative has it."""
    body = reply.body if isinstance(reply.body, bytes) else b""
    if not 200 <= reply.status < 300:
        return Answer(Attempt(reply.status, _begins(body), seconds), body)
    if reply.status == _ACCEPTED or not (body or cloudevents.carries(reply.headers)):
        return Answer(Attempt(reply.status, "", seconds))
    try:
        found = cloudevents.decode(reply.headers, body)
    except BadEvent as error:
        return _malformed(f"its reply is no event: {error}", body, seconds)
    if len(found) != 1:
        return _malformed("its reply is a batch: a broker takes one event", body, seconds)
    return Answer(Attempt(reply.status, "", seconds), body, found[0])


def unanswered(problem: str, seconds: float) -> Answer:
    """Nothing came back."""
    text = f"dispatch error: {problem}"
    return Answer(Attempt(delivery.NO_ANSWER, problem, seconds), text.encode())


def step(due: Delivery, answer: Answer, policy: Policy, destination: str) -> Step:
    """What happens now."""
    if answer.is_success:
        return Done()
    status = answer.attempt.status
    pause = policy.pause(due.failures + 1) if delivery.is_tried_again(status) else None
    return GiveUp(_error(answer, destination)) if pause is None else Again(pause)


def addressed(due: Delivery) -> Event:
    """The event as it is sent: a dead letter says what failed."""
    if due.phase == "subscriber":
        return due.event
    return Event({**due.event.attributes, **due.error}, due.event.data)


def target(subscription: Subscription, due: Delivery) -> str:
    """Where it goes, in words."""
    if due.phase == "subscriber":
        return str(subscription.destination)
    return str(subscription.dead_letter or "no dead letter sink")


def _error(answer: Answer, destination: str) -> dict[str, str]:
    """The extensions of Knative's dead letters."""
    data = base64.b64encode(re.sub(rb"[\x00-\x1f\x7f]", b"", answer.body)).decode()
    found = {
        "knativeerrordest": destination,
        "knativeerrorcode": str(answer.attempt.status),
        "knativeerrordata": data[:_LONGEST_ERROR],
    }
    return {name: value for name, value in found.items() if value}


def _malformed(problem: str, body: bytes, seconds: float) -> Answer:
    return Answer(Attempt(502, problem, seconds), body)


def _begins(body: bytes) -> str:
    """What a failure says, in short: of a problem its detail."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and isinstance(found.get("detail"), str):
            return str(found["detail"])[:_SHOWN]
    return body[:_SHOWN].decode(errors="replace")
