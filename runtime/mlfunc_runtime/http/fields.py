"""Fields of a request's head: their names, what is refused of them, what is to blame."""

from __future__ import annotations

import itertools
import os
import re

from mlfunc_runtime.errors import Problem

HEAD_LIMIT = 65536
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# A second one of these is refused: joined with a comma it would mean something else.
ONCE = frozenset(("content-type", "host", "expect"))
_NOT_IN_TRAILERS = frozenset(
    ("authorization", "content-length", "host", "te", "trailer", "transfer-encoding")
)
_SPELLED = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Host",
    "Origin",
    "Referer",
    "Traceparent",
    "Tracestate",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Request-Id",
    "ce-id",
    "ce-source",
    "ce-specversion",
    "ce-time",
    "ce-type",
]
# As they are sent -> in lower case. Decoding and lowering a name costs more than looking it up.
NAMES = {spelled.encode(): name.lower() for name in _SPELLED for spelled in (name, name.lower())}
# Methods that llhttp knows, which are not HTTP's: it reads RTSP and ICE, too.
_RTSP = (
    "ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP SET_PARAMETER TEARDOWN"
)
OF_OTHERS = frozenset((*_RTSP.split(), "SOURCE"))
_ids = itertools.count()
_prefix = os.urandom(8).hex()


def identify(given: str | None) -> str:
    """The caller's request id, if it fits in a header and a log line; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"{_prefix}{next(_ids):016x}"


def check_trailer(name: str) -> None:
    """Refuse a trailer that would have changed how the request was read."""
    if name in _NOT_IN_TRAILERS:
        raise Problem(400, f"{name} cannot be in the trailers", field=name)


def no_coding(value: str) -> Problem:
    """501 for codings that are not known, 400 for a wrong chunked (RFC 9112, section 6.1)."""
    codings = [coding.strip().lower() for coding in value.split(",")]
    status = 400 if codings.count("chunked") > 1 or codings[-1] in ("", "identity") else 501
    return Problem(status, f"Transfer-Encoding: {value}: only chunked is known")


def excerpt(data: bytes) -> str:
    """The first line that looks wrong: llhttp does not say where it stopped."""
    first, *lines = data[:HEAD_LIMIT].partition(b"\r\n\r\n")[0].split(b"\r\n")
    guilty = next((line for line in lines if not _FIELD.fullmatch(line)), first)
    return guilty[:60].decode("latin-1")


def blamed(told: str) -> str | None:
    """The field that a message of llhttp is about."""
    for name in ("Content-Length", "Transfer-Encoding"):
        if name in told:
            return name
    return None
