"""Results, streams and problems as replies."""

from __future__ import annotations

import errno
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import codec, logs
from mlfunc_runtime.errors import Problem, text_of, user_traceback
from mlfunc_runtime.messages import (
    BINARY,
    EVENT_STREAM,
    JSON,
    PROBLEM,
    Reply,
    Request,
    StreamBody,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc_runtime.streams import Stream


def function_failed() -> Problem:
    """What a caller learns of an exception in user code: nothing of its inside."""
    return Problem(500, "the function failed; its log tells why, under this request_id")


def problem(error: Problem, request: Request) -> Reply:
    """An error as application/problem+json (RFC 9457)."""
    body = codec.encode(error.as_dict(request.id))
    return Reply(body, status=error.status, content_type=PROBLEM, headers=error.headers)


def result(value: Any) -> Reply:
    """What a predictor returned: its own Reply, bytes as they are, all else as JSON.

    Raises:
        TypeError: it cannot be sent.
        ValueError: likewise.

    """
    if isinstance(value, Reply):  # checked once more: whoever made it may have changed it
        return Reply(value.body, status=value.status, headers=value.headers)
    if isinstance(value, (bytes, bytearray)):
        return Reply(value, content_type=BINARY)
    return Reply(codec.encode(value), content_type=JSON)


def stream(
    source: Stream, request: Request, *, binary: bool, patience: float | None = None
) -> Reply:
    """A generator's items: chunks of bytes, or server-sent events; one JSON array for a client that
    asks for JSON. `binary` decides if there are no items; `patience` is how many seconds the next
    one may take.

    Waits for the first item, so that what fails before it is an ordinary error reply.
    """
    started = time.perf_counter()
    turns = source.turns(patience)
    first = next(turns, [])
    turns = itertools.chain([first], turns)
    if first:
        binary = isinstance(first[0], (bytes, bytearray))
    whole = not binary and request.accepts(JSON) and not request.accepts(EVENT_STREAM)
    collected = list(itertools.chain.from_iterable(turns)) if whole else None
    request.timings.predict += time.perf_counter() - started
    if collected is not None:
        return result(collected)
    if binary:
        return Reply(StreamBody(_chunks(turns), request), content_type=BINARY)
    headers = {"Cache-Control": "no-cache"}
    return Reply(
        StreamBody(_events(turns, request), request), content_type=EVENT_STREAM, headers=headers
    )


def _joined(
    turns: Iterator[list[Any]], encode: Callable[[Any], bytes | bytearray]
) -> Iterator[bytes]:
    """One write for all items of a turn; those before one that is no good go out, too."""
    for items in turns:
        ready: list[bytes | bytearray] = []
        try:
            ready.extend(map(encode, items))
        finally:
            if piece := b"".join(ready):
                yield piece


def _chunks(turns: Iterator[list[Any]]) -> Iterator[bytes]:
    """An error in the middle leaves the chunked body without its end: every client takes that for
    a broken transfer.
    """
    try:
        yield from _joined(turns, _as_bytes)
    except Exception as error:
        _broke_off(error)
        # To the server, a connection that is gone: it closes it and says no more.
        raise BrokenPipeError(errno.EPIPE, "the stream broke off") from None


def _as_bytes(item: Any) -> bytes | bytearray:
    if not isinstance(item, (bytes, bytearray)):
        message = f"a stream that began with bytes went on with {type(item).__name__}"
        raise TypeError(message)
    return item


def _events(turns: Iterator[list[Any]], request: Request) -> Iterator[bytes]:
    """Server-sent events (WHATWG HTML, section 9.2) with an end marker: a proxy's timeout ends a
    body cleanly, too.
    """
    try:
        yield from _joined(turns, _as_event)
    except Problem as error:
        yield _error_event(error, request)
    except Exception as error:
        _broke_off(error)
        yield _error_event(function_failed(), request)
    else:
        yield b"event: end\ndata: {}\n\n"


def _as_event(item: Any) -> bytes:
    return b"data: " + codec.encode(item) + b"\n\n"


def _broke_off(error: Exception) -> None:
    told = f"the stream broke off: {type(error).__name__}: {text_of(error)}"
    logs.event(told, level=logging.ERROR, traceback=user_traceback(error))


def _error_event(error: Problem, request: Request) -> bytes:
    return b"event: error\ndata: " + codec.encode(error.as_dict(request.id)) + b"\n\n"
