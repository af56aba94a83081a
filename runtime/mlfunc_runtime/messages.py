"""What goes in and out of the pipeline: requests and replies, of no HTTP library's types."""

from __future__ import annotations

import math
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloudevents.core.v1.event import CloudEvent

    from mlfunc_runtime.streams import Stream
    from mlfunc_runtime.work import Work

JSON = "application/json"
BINARY = "application/octet-stream"
PROBLEM = "application/problem+json"
EVENT_STREAM = "text/event-stream"
_OURS = frozenset((JSON, BINARY, PROBLEM, EVENT_STREAM))
_FINAL = (200, 599)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REFUSED = re.compile(r"q=0(\.0*)?")
STAGES = ("queue", "before", "predict", "after")
CLIENT_GONE = 499  # nginx's status: no client ever sees it, metrics do


class Gone(BaseException):
    """Thrown into whatever a request waits for when its client is gone.

    No `except Exception` of user code swallows it.
    """


class Request:
    """One request or event, as hooks see it.

    `data` holds the decoded input: the fields of the JSON object as a dict, or the whole body.
    `event` is the CloudEvent, if it was one. `state` is the predictor's own: what one hook leaves
    there the next one finds. `cancelled` turns true when nobody waits for the answer any more: a
    prediction that takes long may look, and end early. `deadline` is when that will be, in seconds
    of time.perf_counter; `asked` is when its head was there, `arrived` when all of it was.
    """

    __slots__ = (
        "arrived",
        "asked",
        "begun",
        "body",
        "cancelled",
        "data",
        "deadline",
        "entered",
        "event",
        "headers",
        "id",
        "method",
        "path",
        "places",
        "query",
        "remembered",
        "state",
        "streams",
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
        asked: float = 0.0,
    ) -> None:
        self.arrived = time.perf_counter()
        self.asked = asked or self.arrived
        self.deadline = math.inf
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
        # The pipeline counts it: `sent` is to be called.
        self.entered = False
        # A slot has taken it: it is done to its end, hooks included, though its client leaves.
        self.begun = False
        # Its answer is kept for when the event comes again: nothing of it is cut short.
        self.remembered = False
        # How many of the requests that may be here at once it counts as: a batch, one per event.
        self.places = 1
        self.timings = Timings()
        self.when_sent: list[Work] = []
        self.streams: list[Stream] = []

    def for_event(self, event: CloudEvent) -> Request:
        """One event of a batch as a request of its own.

        There is one reply for all, so they share what goes by it: hooks after it, streams, timings.
        """
        part = Request(
            headers=self.headers,
            method=self.method,
            path=self.path,
            query=self.query,
            request_id=self.id,
        )
        part.arrived, part.asked, part.timings = self.arrived, self.asked, self.timings
        part.deadline, part.event = self.deadline, event
        part.when_sent, part.streams = self.when_sent, self.streams
        return part

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def accepts(self, media_type: str) -> bool:
        """Whether the Accept header names `media_type` itself; wildcards do not count."""
        for choice in self.headers.get("accept", "").lower().split(","):
            name, *parameters = (part.strip() for part in choice.split(";"))
            if name == media_type:
                return not any(_REFUSED.fullmatch(parameter) for parameter in parameters)
        return False

    def close_streams(self) -> None:
        """Nobody reads what the predictor still makes for this request."""
        for stream in self.streams:
            self.cancelled = self.cancelled or stream.running
            stream.close()


class Timings:
    """Seconds a request spent in each stage; becomes the Server-Timing header, in milliseconds."""

    __slots__ = ("after", "before", "predict", "queue")

    def __init__(self) -> None:
        self.queue = self.before = self.predict = self.after = 0.0

    def header(self) -> str:
        """The value of Server-Timing (W3C Server Timing, section 3)."""
        # Most predictors have no such hooks, and to write a float takes a fifth of a microsecond.
        before = f"{self.before * 1e3:.2f}" if self.before else "0.00"
        after = f"{self.after * 1e3:.2f}" if self.after else "0.00"
        return (
            f"queue;dur={self.queue * 1e3:.2f}, before;dur={before}, "
            f"predict;dur={self.predict * 1e3:.2f}, after;dur={after}"
        )


class Reply:
    """What a caller gets. A predictor may return one to choose status, headers and content type.

    Raises:
        TypeError: the body is not bytes.
        ValueError: the status or a header cannot be sent.

    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes | bytearray | memoryview | StreamBody = b"",
        *,
        status: Any = 200,
        content_type: str = BINARY,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(body, (bytearray, memoryview)):
            body = bytes(body)
        if not isinstance(body, (bytes, StreamBody)):
            message = f"the body of a Reply is bytes, not {type(body).__name__}"
            raise TypeError(message)
        if not isinstance(status, int) or not _FINAL[0] <= status <= _FINAL[1]:
            message = (
                f"the status of a Reply is between {_FINAL[0]} and {_FINAL[1]}, not {status!r}"
            )
            raise ValueError(message)
        self.body: bytes | StreamBody = body
        self.status: int = status
        known = {"Content-Type": content_type} if body else {}
        ours = not headers and content_type in _OURS
        self.headers = known if ours else _checked(known, headers or {})


class StreamBody:
    """Bytes to send as they come; closing it, in the end or when the client has left, ends the
    generator behind it.
    """

    def __init__(self, chunks: Iterator[bytes], request: Request) -> None:
        self._chunks = chunks
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Nobody reads any more."""
        self._request.close_streams()


def _checked(known: dict[str, str], more: Mapping[str, Any]) -> dict[str, str]:
    """Headers that HTTP can carry, each name once whatever its case."""
    merged = {name.lower(): (name, value) for name, value in (*known.items(), *more.items())}
    for name, value in merged.values():
        if not (_TOKEN.fullmatch(name) and isinstance(value, str) and _VALUE.fullmatch(value)):
            message = f"a reply cannot have the header {name}: {value!r}"
            raise ValueError(message)
    return dict(merged.values())
