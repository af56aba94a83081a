"""HTTP to a function: one request, whole or streamed, on a connection that can be kept.

It knows HTTP and server-sent events, and nothing of predictions or of who is asking.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlfunc import wire as wires
from mlfunc.errors import FunctionFailed, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from mlfunc.wire import Response, Wire

EVENT_STREAM = "text/event-stream"

_CHUNK = 65536
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Reply:
    """What came back; `headers` have lower-case names.

    `first_byte` is when it began, in seconds since it was asked for; `seconds` is when it had come.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    first_byte: float
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream."""

    event: str
    data: str


class Connection:
    """A connection to one function, opened by the first request and kept for the next.

    `host` is whom it is for, where `url` is that of an ingress which serves many. `wire` carries
    what is sent, where that is not a connection to the server of `url`.
    """

    def __init__(
        self,
        url: str,
        timeout: float | None,
        *,
        host: str | None = None,
        wire: Wire | None = None,
    ) -> None:
        parts = wires.split(url)
        self._wire: Wire = wire or wires.Direct(url, timeout)
        self.url = f"{host} by {self._wire.title}" if host else self._wire.title
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {**wires.credentials(parts), **({"host": host} if host else {})}
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a further request opens it again."""
        self._wire.close()

    def send(self, request: Request) -> Reply:
        """One request, and its whole reply."""
        with self.open(request) as stream:
            body = b"".join(stream.chunks())
        return replace(stream.reply, body=body)

    def open(self, request: Request) -> Stream:
        """One request, and its reply as it comes.

        Raises:
            NotFound: nothing answers.
            FunctionFailed: the connection ended without an answer.
            UsageError: a header or the URL holds what HTTP cannot carry.

        """
        began = time.monotonic()
        try:
            response = self._exchange(request)
        except (ValueError, http.client.InvalidURL) as error:
            # Python's own words name the header or the part of the URL: a line break, a non-Latin
            # letter.
            self.close()
            raise UsageError(f"this cannot be sent by HTTP: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unanswered(error) from error
        seconds = time.monotonic() - began
        headers = _headers(response)
        head = Reply(response.status, response.reason, headers, b"", seconds, seconds)
        return Stream(self, head, response, began)

    def _exchange(self, request: Request) -> Response:
        headers = {**self._headers, **request.headers}
        return self._wire.send(request.method, self._target, request.body, headers)

    def _unanswered(self, error: Exception) -> NotFound | FunctionFailed:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        match error:
            case TimeoutError():
                return self.too_slow()
            case ssl.SSLError():
                hint = "is it http://? else SSL_CERT_FILE may name the certificates to trust"
                return NotFound(f"no secure connection to {self.url}: {reason}", hint)
            case http.client.HTTPException() | ConnectionResetError() | BrokenPipeError():
                message = f"{self.url} ended the connection without a reply: {reason}"
                return FunctionFailed(message, "the function's log may tell why")
            case _:
                reason = reason[:1].lower() + reason[1:]
                hint = "is it running? start it with `mlfunc run`"
                if "host" in self._headers:
                    hint = "is that where the cluster takes requests? --ingress names another"
                return NotFound(f"nothing answers at {self.url}: {reason}", hint)

    def too_slow(self) -> NotFound:
        """The failure to answer, or to go on, in time."""
        message = f"no reply from {self.url} within {self._timeout:g} s"
        return NotFound(message, "give it longer with --timeout")


class Stream:
    """A reply whose body comes while it is read; until then, `reply` has none of it."""

    def __init__(
        self,
        connection: Connection,
        reply: Reply,
        response: Response,
        began: float,
    ) -> None:
        self.reply = reply
        self._began = began
        self._connection = connection
        self._response = response
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was not read would be taken for the next reply: such a connection is of no more use.
        if not self._whole:
            self._connection.close()
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, in pieces as they come.

        Raises:
            FunctionFailed: it broke off.
            NotFound: no more came in time.

        """
        try:
            while chunk := self._response.read1(_CHUNK):
                self._clock()
                yield chunk
            if self._response.length:
                # http.client itself says so for chunked bodies only.
                raise http.client.IncompleteRead(b"", self._response.length)
        except TimeoutError as error:
            raise self._connection.too_slow() from error
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            message = f"the reply of {self._connection.url} broke off: {what}"
            raise FunctionFailed(message, "read the function's log") from error
        self._whole = True
        self._clock()

    def _clock(self) -> None:
        self.reply = replace(self.reply, seconds=time.monotonic() - self._began)

    def events(self) -> Iterator[ServerSentEvent]:
        """The body as server-sent events."""
        return server_sent_events(self.chunks())


def server_sent_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Events as the HTML standard defines them; one that the stream ends within is dropped."""
    event, data = "", list[str]()
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield ServerSentEvent(event or "message", "\n".join(data))
            event, data = "", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            event = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines as they are complete, save one that never is. They end in LF, CR LF, or CR."""
    begun: list[bytes] = []
    ended_in_cr, first = False, True
    for chunk in chunks:
        # The second half of a CR LF that was cut ends no line.
        fresh = chunk[1:] if ended_in_cr and chunk.startswith(b"\n") else chunk
        ended_in_cr = chunk.endswith(b"\r") or (ended_in_cr and not chunk)
        *ends, rest = _LINE_END.split(fresh)
        for end in ends:
            line = b"".join([*begun, end]).decode(errors="replace")
            yield line.removeprefix(_BYTE_ORDER_MARK) if first else line
            begun, first = [], False
        begun.append(rest)


def server_timing(headers: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds by phase, as the reply's Server-Timing has them."""
    entries = (entry.strip().split(";") for entry in headers.get("server-timing", "").split(","))
    return {name: _duration(params) for name, *params in entries if name}


def _duration(params: list[str]) -> float:
    values = (value for key, _, value in (p.strip().partition("=") for p in params) if key == "dur")
    try:
        return float(next(values, "0"))
    except ValueError:
        return 0.0


def _headers(response: Response) -> dict[str, str]:
    """With lower-case names; what came several times is one list."""
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
