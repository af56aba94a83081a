"""What bodies mean: which protocol a request speaks, by its headers.

A protocol is a file with `decode` and `answer`, and a row here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mlfunc_runtime.protocols import cloudevents, events, plain

if TYPE_CHECKING:
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.messages import Reply, Request
    from mlfunc_runtime.redelivery import Redelivery
    from mlfunc_runtime.schema import Binding
    from mlfunc_runtime.settings import Settings


class Run(Protocol):
    """The pipeline, as protocols see it."""

    predictor: Predictor
    settings: Settings
    redelivery: Redelivery

    def widen(self, request: Request, places: int) -> None:
        """Count a batch of events as so many requests."""
        ...

    def run(self, request: Request, arguments: dict[str, Any]) -> Any:
        """From arguments to a result."""
        ...


class Codec(Protocol):
    """A protocol. `answer` raises Problem for what is wrong with the request."""

    def decode(self, request: Request, binding: Binding) -> dict[str, Any]:
        """The body as arguments."""
        ...

    def answer(self, request: Request, pipeline: Run) -> Reply:
        """Decode, run, encode."""
        ...


_PROTOCOLS: dict[cloudevents.Mode | None, Codec] = {
    None: plain,
    "binary": events,
    "structured": events,
    "batch": events,
}


def of(request: Request) -> Codec:
    """The protocol that `request` speaks."""
    return _PROTOCOLS[cloudevents.mode(request.headers)]


def event_of(request: Request) -> dict[str, str]:
    """What a log line says of the event that `request` is; nothing of what is none.

    One that was refused before it was decoded is called as its headers have it.
    """
    if cloudevents.mode(request.headers) is None:
        return {}
    if (event := request.event) is not None:
        known = (event.get_id(), event.get_type(), event.get_source())
    else:
        known = tuple(request.headers.get(f"ce-{name}", "") for name in ("id", "type", "source"))
    return dict(zip(("event", "type", "source"), known, strict=True))
