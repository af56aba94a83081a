"""CloudEvents 1.0 over HTTP: an event as headers and a body, and back; or as one JSON object.

Attributes are printable ASCII in headers; everything else is percent-encoded, as the HTTP binding
says.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlfunc.client import Request
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "ce-"
_NAME = re.compile(r"[a-z0-9]+")
_CORE = ("specversion", "id", "source", "type")
# Not to be given as extensions: options and the protocol say them.
_TAKEN = {*_CORE, "data", "datacontenttype"}


@dataclass(frozen=True)
class CloudEvent:
    """An event to send: its attributes, and its data as they travel."""

    type: str
    source: str
    id: str
    data: bytes | None
    content_type: str
    extensions: Mapping[str, str] = field(default_factory=dict)


def to_request(event: CloudEvent, headers: Mapping[str, str]) -> Request:
    """The HTTP request that carries an event.

    Raises:
        UsageError: an extension cannot have that name, or an attribute is empty.

    """
    attributes = _attributes(event)
    carried = {_PREFIX + name: encode(value) for name, value in attributes.items()}
    return Request("POST", {"content-type": event.content_type, **headers, **carried}, event.data)


def to_envelope(event: CloudEvent) -> dict[str, Any]:
    """The JSON object that is an event, in structured mode.

    Raises:
        UsageError: as `to_request`; or its data are no JSON, though their type says so.

    """
    found: dict[str, Any] = _attributes(event)
    if event.data is None:
        return found
    found["datacontenttype"] = event.content_type
    if not is_json(event.content_type):
        return {**found, "data_base64": base64.b64encode(event.data).decode()}
    try:
        return {**found, "data": json.loads(event.data)}
    except ValueError as error:
        message = f"the event's data are no JSON: {error}"
        raise UsageError(message, "correct them, or say what they are: --content-type") from error


def is_json(content_type: str) -> bool:
    """Whether data of that type are JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith(("+json", "/json"))


def attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes of the event in a reply; empty when it is none."""
    found = {
        name.removeprefix(_PREFIX): decode(value)
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    if "specversion" not in found:
        return {}
    core = {name: found.pop(name) for name in _CORE if name in found}
    return {**core, **dict(sorted(found.items()))}


def encode(value: str) -> str:
    """An attribute's value as a header's."""
    return "".join(char if _is_plain(char) else _percent(char) for char in value)


def decode(value: str) -> str:
    """A header's value as an attribute's; one that somebody quoted is unquoted first."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value)


def _attributes(event: CloudEvent) -> dict[str, str]:
    found = {
        **event.extensions,
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    _check(found, event.extensions)
    return found


def _is_plain(char: str) -> bool:
    return "!" <= char <= "~" and char not in '"%'


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _check(attributes: Mapping[str, str], extensions: Mapping[str, str]) -> None:
    for name in extensions:
        if not _NAME.fullmatch(name):
            message = f"an event's attribute cannot be called {name}"
            raise UsageError(message, "use lower-case letters and digits only")
        if name in _TAKEN:
            message = f"{name} is no extension of an event"
            raise UsageError(message, "give it with --id, --source, --type or --content-type")
    for name, value in attributes.items():
        if not value:
            raise UsageError(f"the event's {name} is empty", "give it a value, or leave it out")
