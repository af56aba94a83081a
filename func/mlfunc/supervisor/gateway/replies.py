"""What the gateway says itself: pages, and problems (RFC 9457), as heads and bodies."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from mlfunc.supervisor.gateway.forwarding import BODILESS, ReplyHead
from mlfunc.supervisor.http.messages import Reply

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.fields import Refused

_OURS = frozenset(("connection", "content-length", "date", "keep-alive", "transfer-encoding"))
RETRY = ("retry-after", "1")


def problem(status: int, detail: str, request_id: bytes, *more: tuple[str, str]) -> Reply:
    """A failure, in words."""
    told = request_id.decode("latin-1")
    data = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": told,
    }
    headers = [("content-type", "application/problem+json"), ("x-request-id", told), *more]
    return Reply(status, headers, msgspec.json.encode(data))


def refusal(refused: Refused, request_id: bytes) -> Reply:
    """Of a request that cannot be taken."""
    more = [("allow", "GET, HEAD, POST")] if refused.status == HTTPStatus.METHOD_NOT_ALLOWED else []
    return problem(refused.status, refused.detail, request_id, *more)


def head(reply: Reply) -> ReplyHead:
    """Of a reply of our own; a body that goes on has no length."""
    lines = [
        f"{name}: {value}\r\n".encode("latin-1")
        for name, value in reply.headers
        if name.lower() not in _OURS
    ]
    lines.append(_date(int(time.time())))
    endless = not isinstance(reply.body, bytes) or reply.status in BODILESS
    length = None if endless else b"%d" % len(body(reply))
    return ReplyHead(reply.status, b"", lines, length)


def body(reply: Reply) -> bytes:
    """Of one that is whole."""
    return reply.body if isinstance(reply.body, bytes) else b""


@lru_cache(maxsize=1)
def _date(now: int) -> bytes:
    return f"date: {formatdate(now, usegmt=True)}\r\n".encode()
