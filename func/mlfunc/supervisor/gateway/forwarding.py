"""Heads as they are passed on: a request's to an instance, a reply's to the client. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from mlfunc.supervisor.gateway.fields import HOP_BY_HOP, tokens

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.parser import Incoming

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = (204, 304)
# What may be asked again when nobody knows whether it was done (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_ORDINARY = (b"keep-alive", b"close")


class ReplyHead(NamedTuple):
    """`length`: of the body, as it was told; None: nobody knows yet."""

    status: int
    reason: bytes
    lines: list[bytes]
    length: bytes | None


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def request_head(
    incoming: Incoming, target: bytes, *, host: bytes, prefix: bytes, peer: bytes, request_id: bytes
) -> bytes:
    """What an instance gets: the client's own fields, and who it is."""
    known = incoming.known
    lines = [b"%b: %b\r\n" % pair for pair in _passed_on(incoming)]
    came_by = known.get(b"x-forwarded-for")
    by = b"%b, %b" % (came_by, peer) if came_by else peer
    asked = known.get(b"x-forwarded-host") or known.get(b"host") or host
    return b"".join(
        (
            b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (incoming.method, target, host),
            *lines,
            b"x-request-id: %b\r\nx-forwarded-for: %b\r\n" % (request_id, by),
            b"x-forwarded-host: %b\r\nx-forwarded-proto: http\r\n" % asked,
            b"forwarded: %b\r\n" % (known.get(b"forwarded") or b"for=%b;proto=http" % peer),
            b"x-forwarded-prefix: %b\r\n" % prefix if prefix else b"",
            _request_framing(incoming),
            b"\r\n",
        )
    )


def reply_head(head: ReplyHead, *, keep: bool, chunked: bool) -> bytes:
    """What the client gets."""
    reason = head.reason or _REASONS.get(head.status, b"Status")
    framing = b"content-length: %b\r\n" % head.length if head.length is not None else b""
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (head.status, reason),
            *head.lines,
            b"transfer-encoding: chunked\r\n" if chunked else framing,
            b"connection: keep-alive\r\n\r\n" if keep else b"connection: close\r\n\r\n",
        )
    )


def has_body(head: ReplyHead, method: bytes) -> bool:
    """Whether anything follows the head."""
    return method != b"HEAD" and head.status not in BODILESS


def _passed_on(incoming: Incoming) -> list[tuple[bytes, bytes]]:
    """Without what the client's Connection field keeps to this connection."""
    listed = incoming.known.get(b"connection")
    if listed is None or listed.lower() in _ORDINARY:
        return incoming.fields
    own = HOP_BY_HOP.union(tokens(listed))
    return [pair for pair in incoming.fields if pair[0] not in own]


def _request_framing(incoming: Incoming) -> bytes:
    if incoming.chunked:
        return b"transfer-encoding: chunked\r\n"
    length = incoming.known.get(b"content-length")
    return b"content-length: %b\r\n" % length if length is not None else b""
