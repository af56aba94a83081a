"""Replies to bytes (RFC 9112)."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from mlfunc_runtime.messages import StreamBody

if TYPE_CHECKING:
    from mlfunc_runtime.messages import Reply, Request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}
_BODILESS = (204, 304)
# The connection's own: what a predictor says of them would be a second, different word.
_OURS = frozenset(
    [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    ]
)
_KEEP = "Connection: keep-alive\r\n"
_CLOSE = "Connection: close\r\n"


class Clock:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = ""

    def line(self) -> str:
        """The header line of now."""
        now = int(time.time())
        if now != self._second:
            self._second, self._line = now, f"Date: {formatdate(now, usegmt=True)}\r\n"
        return self._line


_clock = Clock()


def head(reply: Reply, request: Request, *, keep: bool, chunked: bool = False) -> bytes:
    """Status line and fields, the empty line included."""
    fields = "".join(
        [
            f"{name}: {value}\r\n"
            for name, value in reply.headers.items()
            if name == "Content-Type" or name.lower() not in _OURS
        ]
    )
    timings = f"Server-Timing: {request.timings.header()}\r\n" if request.entered else ""
    line = _LINES.get(reply.status) or f"HTTP/1.1 {reply.status} Status\r\n"
    return (
        f"{line}{fields}X-Request-Id: {request.id}\r\n{timings}{_clock.line()}"
        f"{_KEEP if keep else _CLOSE}{_framing(reply, chunked=chunked)}\r\n"
    ).encode("latin-1")


def whole(reply: Reply, request: Request, *, keep: bool) -> bytes:
    """A reply that is no stream, in one piece: two sends are two packets, and 40 ms apart with a
    peer that delays its acknowledgements.
    """
    told = head(reply, request, keep=keep)
    if request.method == "HEAD" or reply.status in _BODILESS or isinstance(reply.body, StreamBody):
        return told
    return told + reply.body


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _framing(reply: Reply, *, chunked: bool) -> str:
    if chunked:
        return "Transfer-Encoding: chunked\r\n"
    if isinstance(reply.body, StreamBody) or reply.status in _BODILESS:
        return ""
    return f"Content-Length: {len(reply.body)}\r\n"
