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


class Openings:
    """What replies begin with: the status, their own fields, Date and Connection. Nearly all are
    alike but for the time, so those with no other field than Content-Type are made once a second.
    """

    def __init__(self) -> None:
        self._second = 0
        self._date = ""
        self._made: dict[tuple[int, str, bool], str] = {}

    def of(self, reply: Reply, *, keep: bool) -> str:
        """The opening of a reply that is sent now."""
        self._look_at_the_clock()
        content_type = reply.headers.get("Content-Type") if len(reply.headers) == 1 else None
        if content_type is None:
            return self._make(reply, keep=keep)
        key = (reply.status, content_type, keep)
        opening = self._made.get(key)
        if opening is None:
            opening = self._made[key] = self._make(reply, keep=keep)
        return opening

    def _look_at_the_clock(self) -> None:
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, f"Date: {formatdate(now, usegmt=True)}\r\n"
            self._made.clear()

    def _make(self, reply: Reply, *, keep: bool) -> str:
        line = _LINES.get(reply.status) or f"HTTP/1.1 {reply.status} Status\r\n"
        told = [f"{k}: {v}\r\n" for k, v in reply.headers.items() if k.lower() not in _OURS]
        return f"{line}{''.join(told)}{self._date}{_KEEP if keep else _CLOSE}"


_openings = Openings()


def head(reply: Reply, request: Request, *, keep: bool, chunked: bool = False) -> bytes:
    """Status line and fields, the empty line included."""
    timings = f"Server-Timing: {request.timings.header()}\r\n" if request.entered else ""
    return (
        f"{_openings.of(reply, keep=keep)}X-Request-Id: {request.id}\r\n"
        f"{timings}{_framing(reply, chunked=chunked)}\r\n"
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
