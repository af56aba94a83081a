"""CloudEvents 1.0 over HTTP, as a broker needs them: attributes are text, data stay as they came.

Whatever is wrong with a message is a BadEvent, which is answered with 400: nobody sends it again.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from mlfunc.events import encode, is_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.supervisor.http.messages import Headers

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
_ENVELOPE, _BATCH = "application/cloudevents", "application/cloudevents-batch"
_REQUIRED = ("specversion", "id", "source", "type")
_MARKS = frozenset(f"ce-{name}" for name in _REQUIRED)
_is_name = re.compile(r"[a-z0-9]+").fullmatch
_is_field = re.compile(r"[\t\x20-\x7e]*").fullmatch
_is_time = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|[+-]\d\d:[0-5]\d)",
    re.ASCII,
).fullmatch


class BadEvent(Exception):
    """A message that is no valid event: which part of it, and why."""


@dataclass(frozen=True)
class Event:
    """One; `datacontenttype` is among its attributes."""

    attributes: dict[str, str]
    data: bytes | None = None

    @property
    def id(self) -> str:
        """Unique with its source."""
        return self.attributes["id"]

    @property
    def type(self) -> str:
        """What has happened."""
        return self.attributes["type"]

    @property
    def source(self) -> str:
        """Where."""
        return self.attributes["source"]


def carries(headers: Headers) -> bool:
    """Whether a message says that it is an event."""
    named = dict(headers)
    content_type = named.get("content-type", "").lower()
    return content_type.startswith(_ENVELOPE) or not _MARKS.isdisjoint(named)


def decode(headers: Headers, body: bytes) -> list[Event]:
    """The events of a message: one, or those of a batch.

    Raises:
        BadEvent: it is none, or one of them is wrong.

    """
    content_type = next((value for name, value in headers if name == "content-type"), "").lower()
    if content_type.startswith(_BATCH):
        return _batch(_json(body))
    if content_type.startswith(_ENVELOPE):
        return [_from_envelope(_json(body))]
    if not carries(headers):
        raise BadEvent(f"no CloudEvent: send ce- headers, or {STRUCTURED}")
    return [_from_headers(headers, body)]


def binary(event: Event) -> tuple[Headers, bytes]:
    """An event as headers and a body."""
    headers = [
        ("ce-" + name, encode(value))
        for name, value in event.attributes.items()
        if name != "datacontenttype"
    ]
    if kind := event.attributes.get("datacontenttype"):
        headers.append(("content-type", kind))
    return headers, event.data or b""


def envelope(event: Event) -> dict[str, Any]:
    """An event as an object of JSON."""
    shown: dict[str, Any] = dict(event.attributes)
    if event.data is None:
        return shown
    if is_json(event.attributes.get("datacontenttype", JSON)):
        return {**shown, "data": msgspec.Raw(event.data)}
    return {**shown, "data_base64": base64.b64encode(event.data).decode()}


def _from_headers(headers: Headers, body: bytes) -> Event:
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith("ce-"):
            found[name[3:]] = _unescaped(name, value)
        elif name == "content-type":
            found["datacontenttype"] = value
    if "ce-datacontenttype" in dict(headers):
        raise BadEvent("ce-datacontenttype: the type of the data is in Content-Type")
    return Event(_checked(found, "ce-"), body or None)


def _batch(found: Any) -> list[Event]:
    if not isinstance(found, list):
        raise BadEvent("body: a batch is an array of events")
    return [_element(index, each) for index, each in enumerate(found)]


def _element(index: int, found: Any) -> Event:
    try:
        return _from_envelope(found)
    except BadEvent as error:
        raise BadEvent(f"[{index}] {error}") from None


def _from_envelope(found: Any) -> Event:
    if not isinstance(found, dict):
        raise BadEvent("body: an event is a JSON object")
    attributes = {
        name: _as_text(name, value)
        for name, value in found.items()
        if value is not None and name not in ("data", "data_base64")
    }
    data = _data(found, attributes.get("datacontenttype"))
    if found.get("data") is not None:
        attributes.setdefault("datacontenttype", JSON)
    return Event(_checked(attributes), data)


def _as_text(name: str, value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if -(2**31) <= value < 2**31 and name not in _REQUIRED:
            return str(value)
    raise BadEvent(f"{name}: an attribute is text, a boolean or an integer of 32 bits")


def _data(found: dict[str, Any], content_type: str | None) -> bytes | None:
    encoded, data = found.get("data_base64"), found.get("data")
    if encoded is None and data is None:
        return None
    if encoded is not None and data is not None:
        raise BadEvent("data_base64: an event has data or data_base64, not both")
    if encoded is not None:
        return _from_base64(encoded)
    if content_type is None or is_json(content_type):
        return msgspec.json.encode(data)
    if not isinstance(data, str):
        raise BadEvent(f"data: must be text, for its type is {content_type}")
    return data.encode()


def _from_base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadEvent("data_base64: not Base64") from None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent(f"body: not JSON: {error}") from None


def _unescaped(name: str, value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        raise BadEvent(f"{name}: a % that starts no %XX; write %25 for a percent sign")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise BadEvent(f"{name}: not UTF-8") from None


def _checked(attributes: dict[str, str], prefix: str = "") -> dict[str, str]:
    for problem in _problems(attributes):
        raise BadEvent(prefix + problem)
    return attributes


def _problems(attributes: dict[str, str]) -> Sequence[str]:
    missing = [f"{name}: is missing" for name in _REQUIRED if not attributes.get(name)]
    named = [
        f"{name}: only a-z and 0-9 are in the name of an attribute"
        for name in attributes
        if not _is_known_name(name)
    ]
    return missing or named or _of_values(attributes)


def _of_values(attributes: dict[str, str]) -> list[str]:
    found = []
    if attributes["specversion"] != "1.0":
        found.append(f"specversion: must be 1.0, not {attributes['specversion']}")
    if not _is_reference(attributes["source"]):
        found.append(f"source: {attributes['source']!r} is no URI reference, such as /sensors/1")
    if "time" in attributes and not _is_time(attributes["time"]):
        found.append(f"time: {attributes['time']!r} is no time of RFC 3339")
    # The one attribute that is sent as it is: in an envelope it may hold the end of a field.
    if not _is_field(attributes.get("datacontenttype", "")):
        told = attributes["datacontenttype"]
        found.append(f"datacontenttype: {told!r} is no media type, such as {JSON}")
    return found


@lru_cache(maxsize=1024)
def _is_known_name(name: str) -> bool:
    return bool(_is_name(name)) and name != "data"


@lru_cache(maxsize=1024)
def _is_reference(text: str) -> bool:
    if not re.fullmatch(r"(?:[!#$&-;=?-Z_a-z~\[\]@]|%[0-9A-Fa-f]{2})+", text):
        return False
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True
