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
# Of an event: the members of a log line, and which of its attributes each has.
_TOLD = {"event": "id", "type": "type", "source": "source"}


def of(request: Request) -> Codec:
    """The protocol that `request` speaks."""
    return _PROTOCOLS[cloudevents.mode(request.headers)]


def event_of(request: Request) -> dict[str, str]:
    """What a log line says of the event that `request` is; nothing of what is none.

    One that is not decoded is called as its headers have it.
    """
    if cloudevents.mode(request.headers) is None:
        return {}
    if (event := request.event) is None:
        known = request.headers
        return {name: known.get(f"ce-{of}", "") for name, of in _TOLD.items()}
    return {name: str(getattr(event, f"get_{of}")()) for name, of in _TOLD.items()}
