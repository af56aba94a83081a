"""HTTP to a function: one request, whole or streamed, on a connection that can be kept.

It knows HTTP and server-sent events, and nothing of predictions or of who is asking.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc.errors import FunctionFailed, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

_CHUNK = 65536
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Reply:
    """What came back; `headers` have lower-case names."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return media_type(self.headers)


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream."""

    event: str
    data: str


class Connection:
    """A connection to one function, opened by the first request and kept for the next."""

    def __init__(self, url: str, timeout: float | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _CONNECTIONS or not parts.hostname:
            raise UsageError(f"{url} is no URL of a function", "http://localhost:8080")
        self.url = url
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout
        self._http = _CONNECTIONS[parts.scheme](parts.hostname, _port(url), timeout=timeout)

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
        self._http.close()

    def send(self, request: Request) -> Reply:
        """One request, and its whole reply."""
        began = time.monotonic()
        with self.open(request) as stream:
            body = b"".join(stream.chunks())
        reply = stream.reply
        seconds = time.monotonic() - began
        return Reply(reply.status, reply.reason, reply.headers, body, seconds)

    def open(self, request: Request) -> Stream:
        """One request, and its reply as it comes.

        Raises:
            NotFound: nothing answers.
            UsageError: a header or the URL holds what HTTP cannot carry.

        """
        began = time.monotonic()
        try:
            self._http.request(request.method, self._target, request.body, dict(request.headers))
            response = self._http.getresponse()
        except (ValueError, http.client.InvalidURL) as error:
            # Python's own words name the header or the part of the URL: a line break, a non-Latin
            # letter.
            raise UsageError(f"this cannot be sent by HTTP: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        head = Reply(response.status, response.reason, headers, b"", time.monotonic() - began)
        return Stream(self, head, response)

    def _unreachable(self, error: Exception) -> NotFound:
        if isinstance(error, TimeoutError):
            message = f"no reply from {self.url} within {self._timeout:g} s"
            return NotFound(message, "give it longer with --timeout")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        hint = "is it running? start it with `mlfunc run`"
        return NotFound(f"nothing answers at {self.url}: {reason.lower()}", hint)


class Stream:
    """A reply whose body has not come yet."""

    def __init__(
        self, connection: Connection, reply: Reply, response: http.client.HTTPResponse
    ) -> None:
        self.reply = reply
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

        """
        try:
            while chunk := self._response.read1(_CHUNK):
                yield chunk
            if self._response.length:
                # http.client itself says so for chunked bodies only.
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            what = str(error) or type(error).__name__
            message = f"the reply of {self._connection.url} broke off: {what}"
            raise FunctionFailed(message, "read the function's log") from error
        self._whole = True

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
    """Lines as they are complete. They end in LF, CR LF, or CR."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A CR at the very end may be the first half of CR LF.
        held = b"\r" if rest.endswith(b"\r") else b""
        whole = rest.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        for line in lines:
            yield line.decode(errors="replace")
    if rest.endswith(b"\r"):
        yield rest.removesuffix(b"\r").decode(errors="replace")


def media_type(headers: Mapping[str, str]) -> str:
    """`text/html` of `text/html; charset=utf-8`; empty where nothing is said."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


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


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise UsageError(f"{url} is no URL of a function: {error}") from error
