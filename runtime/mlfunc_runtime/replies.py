"""Results, streams and problems as replies."""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import codec
from mlfunc_runtime.errors import Problem, user_traceback
from mlfunc_runtime.messages import BINARY, EVENT_STREAM, JSON, PROBLEM, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc_runtime.streams import Stream

_log = logging.getLogger("mlfunc")


def function_failed() -> Problem:
    """What a caller learns of an exception in user code: nothing of its inside."""
    return Problem(500, "the function failed; its log tells why, under this request_id")


def problem(error: Problem, request: Request) -> Reply:
    """An error as application/problem+json (RFC 9457)."""
    body = codec.encode(error.as_dict(request.id))
    return Reply(body, status=error.status, content_type=PROBLEM, headers=error.headers)


def result(value: Any) -> Reply:
    """What a predictor returned: its own Reply, bytes as they are, all else as JSON."""
    if isinstance(value, Reply):
        return value
    if isinstance(value, (bytes, bytearray)):
        return Reply(bytes(value), content_type=BINARY)
    return Reply(codec.encode(value), content_type=JSON)


def stream(source: Stream, request: Request) -> Reply:
    """A generator's items: chunks of bytes, or server-sent events; one JSON array for a client that
    asks for JSON.

    Waits for the first item, so that what fails before it is an ordinary error reply.
    """
    started = time.perf_counter()
    items = source.first()
    request.timings.predict += time.perf_counter() - started
    if request.accepts(JSON) and not request.accepts(EVENT_STREAM):
        return result(list(items))
    first = list(itertools.islice(items, 1))
    items = itertools.chain(first, items)
    if first and isinstance(first[0], (bytes, bytearray)):
        return Reply(StreamBody(_chunks(items), source), content_type=BINARY)
    headers = {"Cache-Control": "no-cache"}
    return Reply(
        StreamBody(_events(items, request), source), content_type=EVENT_STREAM, headers=headers
    )


class StreamBody:
    """Bytes to send as they come; closing it, at the end or when the client has left, ends the
    generator.
    """

    def __init__(self, chunks: Iterator[bytes], source: Stream) -> None:
        self._chunks = chunks
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Nobody reads any more."""
        self._source.close()


def _chunks(items: Iterator[Any]) -> Iterator[bytes]:
    """An error in the middle leaves the chunked body without its end, which every client takes for
    a broken transfer.
    """
    for item in items:
        if not isinstance(item, (bytes, bytearray)):
            message = f"a stream that began with bytes went on with {type(item).__name__}"
            raise TypeError(message)
        yield bytes(item)


def _events(items: Iterator[Any], request: Request) -> Iterator[bytes]:
    """Server-sent events (WHATWG HTML, section 9.2) with an end marker: a proxy's timeout ends a
    body cleanly, too.
    """
    try:
        for item in items:
            yield b"data: " + codec.encode(item) + b"\n\n"
    except Problem as error:
        yield _error_event(error, request)
    except Exception as error:
        _log.error("the stream broke off", extra={"fields": {"traceback": user_traceback(error)}})
        yield _error_event(function_failed(), request)
    else:
        yield b"event: end\ndata: {}\n\n"


def _error_event(error: Problem, request: Request) -> bytes:
    return b"event: error\ndata: " + codec.encode(error.as_dict(request.id)) + b"\n\n"
