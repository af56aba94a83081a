"""The target of a request: path and query (RFC 9112, section 3.2)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from mlfunc_runtime.errors import Problem

LINE_LIMIT = 8190
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*)?")
_VISIBLE = re.compile(rb"[\x21-\x7e]+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")


def split(target: bytes, headers: dict[str, str], method: str) -> tuple[str, str]:
    """Path, with its escapes read, and query, as they are in a WSGI environ.

    The host of an absolute target replaces the Host field, as section 3.2.2 demands.

    Raises:
        Problem: 400, or 414 when it is too long.

    """
    if target == b"/":
        return "/", ""
    if len(target) > LINE_LIMIT:
        raise Problem(414, f"the target is longer than {LINE_LIMIT} bytes")
    if target == b"*" and method == "OPTIONS":
        return "*", ""
    if absolute := _ABSOLUTE.fullmatch(target):
        headers["host"] = absolute[1].decode("latin-1")
        target = absolute[2] or b"/"
        target = target if target.startswith(b"/") else b"/" + target
    if method != "CONNECT":
        _check(target)
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return unquote_to_bytes(path).decode("latin-1"), query.decode("latin-1")


def _check(target: bytes) -> None:
    if not target.startswith(b"/") or not _VISIBLE.fullmatch(target):
        raise Problem(400, f"{target.decode('latin-1')[:60]} is no path")
    if _BAD_ESCAPE.search(target):
        raise Problem(400, f"{target.decode('latin-1')[:60]} has a % that stands for nothing")
