"""Fields of heads: which are a connection's own and not passed on, and what is refused of them."""

from __future__ import annotations

import itertools
import os
import re

HEAD_LIMIT = 65536
LINE_LIMIT = 8190
FIELD_LIMIT = 8190
FIELDS_LIMIT = 93  # we add up to seven, and the runtime takes a hundred

# Of one connection, whatever its Connection field lists (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Those of a request that we read, or write, ourselves.
OURS = HOP_BY_HOP | {
    b"content-length",
    b"expect",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
    b"x-request-id",
}
# A second one of these is refused: joined with a comma it would mean something else.
ONCE = frozenset((b"content-length", b"expect", b"host", b"x-request-id"))
_NOT_IN_TRAILERS = frozenset(
    (b"authorization", b"content-length", b"host", b"te", b"trailer", b"transfer-encoding")
)
# Methods that llhttp knows, which are not HTTP's: it reads RTSP and ICE, too.
_RTSP = (
    b"ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP SET_PARAMETER TEARDOWN"
)
OF_OTHERS = frozenset((*_RTSP.split(), b"SOURCE"))
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_ids = itertools.count()
_prefix = os.urandom(8).hex().encode()


class Refused(Exception):
    """What a client sent cannot be taken."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def identify(given: bytes | None) -> bytes:
    """The caller's request id, if it fits in a header and a log line; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b%016x" % (_prefix, next(_ids))


def tokens(value: bytes) -> list[bytes]:
    """The parts of a list, in lower case."""
    return [part.strip().lower() for part in value.split(b",")]


def check_trailer(name: bytes) -> None:
    """Refuse a trailer that would have changed how the request was read."""
    if name in _NOT_IN_TRAILERS:
        raise Refused(400, f"{name.decode('latin-1')} cannot be in the trailers")


def check_coding(value: bytes) -> None:
    """Refuse all but chunked: 501 what is not known, 400 a wrong chunked (RFC 9112, 6.1)."""
    if value.lower() == b"chunked":
        return
    codings = tokens(value)
    wrong = codings.count(b"chunked") > 1 or codings[-1] in (b"", b"identity")
    told = f"Transfer-Encoding: {value.decode('latin-1')}: only chunked is known"
    raise Refused(400 if wrong else 501, told)


def excerpt(data: bytes) -> str:
    """The first line that looks wrong: llhttp does not say where it stopped."""
    first, *lines = data[:HEAD_LIMIT].partition(b"\r\n\r\n")[0].split(b"\r\n")
    guilty = next((line for line in lines if not _FIELD.fullmatch(line)), first)
    return guilty[:60].decode("latin-1")
