"""The body of a request: from an option, a file, or the example of the function itself."""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.client import Request
from mlfunc.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mlfunc.client import Connection

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Payload:
    """Bytes, and what they are."""

    data: bytes
    content_type: str


def from_text(text: str) -> Payload:
    """What was typed: JSON where it is or means to be, else text.

    An object with a missing quote is still sent as JSON: the function's answer says where it
    breaks.

    Raises:
        UsageError: it is meant as curl means it, and would be sent as it is.

    """
    if text.startswith("@") and _is_file(text[1:]):
        message = f"{text} would be sent as it is, and a file of that name is here"
        raise UsageError(message, f"send the file: --file {text[1:]}")
    data = text.encode("utf-8", "surrogateescape")
    means_json = text.lstrip().startswith(("{", "[")) or _is_json(data)
    return Payload(data, _JSON if means_json else _TEXT)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a text, and no name that a file could have
        return False


def from_file(path: Path) -> Payload:
    """A file's content, of the type that its name says, else as it looks.

    Raises:
        NotFound: there is no such file.

    """
    import mimetypes

    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise NotFound(f"{path} {what}", "name a file, or `-` for standard input")
    data = path.read_bytes()
    kind, packed = mimetypes.guess_type(path.name)
    return Payload(data, _BYTES if packed else kind or _looks_like(data))


def from_stream(data: bytes) -> Payload:
    """What came by standard input, of the type that it looks like."""
    return Payload(data, _looks_like(data))


def example(connection: Connection) -> Payload:
    """The example that the function itself describes.

    Raises:
        UsageError: it describes none.

    """
    given = describe(connection).get("example")
    if not isinstance(given, dict):
        message = f"the function at {connection.url} has no `example` to send"
        raise UsageError(message, "give it a body: --data or --file")
    if "base64" in given:
        return Payload(b64decode(given["base64"]), given.get("content_type", _BYTES))
    return Payload(json.dumps(given.get("data")).encode(), given.get("content_type", _JSON))


def describe(connection: Connection) -> dict[str, Any]:
    """The function's description of itself.

    Raises:
        NotFound: what answers there is no function of mlfunc.

    """
    reply = connection.send(Request("GET", {"accept": _JSON}))
    with contextlib.suppress(ValueError):
        description = json.loads(reply.body) if reply.ok else None
        if isinstance(description, dict) and "predictor" in description:
            return description
    kind = reply.media_type or "no content type"
    message = f"what answers at {connection.url} is no function of mlfunc ({reply.status}, {kind})"
    raise NotFound(message, "is the URL right? to send it something all the same: --data or --file")


def _looks_like(data: bytes) -> str:
    if _is_json(data):
        return _JSON
    try:
        data.decode()
    except UnicodeDecodeError:
        return _BYTES
    return _TEXT


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
