"""A hook that is to be called after a reply, and how a try of it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlfunc_runtime import logs
from mlfunc_runtime.errors import user_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.messages import Request


class Work:
    """One hook to call for a request whose reply is out. `result` is read when it is called; `lost`
    is called if the hook is not done in the end.
    """

    __slots__ = ("accepted", "attempts", "call", "lost", "request", "result")

    def __init__(
        self,
        request: Request,
        call: Callable[[], object],
        result: Callable[[], Any] = lambda: None,
    ) -> None:
        self.request = request
        self.call = call
        self.result = result
        self.lost: Callable[[], None] = lambda: None
        self.attempts = 0
        self.accepted = 0.0


class Ended(NamedTuple):
    """How one try of a hook ended: well, if it has no `message`."""

    message: str = ""
    error: BaseException | None = None
    final: bool = False


def tell(level: int, message: str, work: Work, ended: Ended) -> None:
    """A log line with what leads to the request."""
    fields: dict[str, Any] = {"request_id": work.request.id, "attempts": work.attempts}
    if work.request.event is not None:
        fields["event_id"] = work.request.event.get_id()
    if ended.error is not None:
        fields["traceback"] = user_traceback(ended.error)
    logs.event(message, level=level, **fields)
