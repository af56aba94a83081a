"""What goes in and out of the pipeline: a request, a reply, a stream of chunks.

No HTTP library's types.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cloudevents.core.v1.event import CloudEvent

JSON = "application/json"
BINARY = "application/octet-stream"
PROBLEM = "application/problem+json"
EVENT_STREAM = "text/event-stream"
STAGES = ("queue", "before", "predict", "after")


class Request:
    """One request or event, as hooks see it.

    `data` holds the decoded input: the fields of the JSON object as a dict, or the whole body.
    `event` is the CloudEvent, if it was one. `state` is the predictor's own: what one hook leaves
    there the next one finds. `cancelled` turns true when nobody waits for the answer any more.
    """

    __slots__ = (
        "admitted",
        "arrived",
        "body",
        "cancelled",
        "data",
        "event",
        "headers",
        "id",
        "method",
        "path",
        "query",
        "state",
        "timings",
        "when_sent",
    )

    def __init__(
        self,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        path: str = "/",
        query: str = "",
        request_id: str = "",
    ) -> None:
        self.arrived = time.perf_counter()
        self.id = request_id or uuid.uuid4().hex
        self.method = method
        self.path = path
        self.query = query
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body
        self.data: Any = None
        self.event: CloudEvent | None = None
        self.state: dict[str, Any] = {}
        self.cancelled = False
        self.admitted = False
        self.timings = Timings()
        self.when_sent: list[Callable[[], object]] = []

    def for_event(self, event: CloudEvent) -> Request:
        """One event of a batch as a request of its own; what is to happen after the reply happens
        with this one's.
        """
        part = Request(
            headers=self.headers,
            method=self.method,
            path=self.path,
            query=self.query,
            request_id=self.id,
        )
        part.arrived, part.event, part.timings, part.when_sent = (
            self.arrived,
            event,
            self.timings,
            self.when_sent,
        )
        return part

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def accepts(self, media_type: str) -> bool:
        """Whether the Accept header names `media_type` itself; wildcards do not count."""
        return media_type in self.headers.get("accept", "").lower()


class Timings:
    """Seconds a request spent in each stage; becomes the Server-Timing header, in milliseconds."""

    __slots__ = ("after", "before", "predict", "queue")

    def __init__(self) -> None:
        self.queue = self.before = self.predict = self.after = 0.0

    def header(self) -> str:
        """The value of Server-Timing (W3C Server Timing, section 3)."""
        return (
            f"queue;dur={self.queue * 1e3:.2f}, before;dur={self.before * 1e3:.2f}, "
            f"predict;dur={self.predict * 1e3:.2f}, after;dur={self.after * 1e3:.2f}"
        )


class Reply:
    """What a caller gets. A predictor may return one itself to choose status, headers and content
    type.

    `body` is bytes, or an iterable of bytes that is sent in chunks as they come.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes | Iterable[bytes] = b"",
        *,
        status: int = 200,
        content_type: str = BINARY,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.headers: dict[str, str] = {"Content-Type": content_type} if body else {}
        self.headers.update(headers or {})
