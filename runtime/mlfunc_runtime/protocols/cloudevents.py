"""CloudEvents 1.0.2 over HTTP: a strict codec for binary, structured and batched messages.

The SDK's `CloudEvent` is the type that users see; its HTTP binding is not used, because it lets
bad events through and breaks good ones. Whatever is wrong with a message is a `BadEvent`: a broker
does not deliver again what was answered with 400. Errors of encoding are TypeError and ValueError,
for what is wrong then is the function's own event.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID, uuid5

import orjson

from mlfunc_runtime.errors import Problem

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent

In = TypeVar("In")
Out = TypeVar("Out")
Mode = Literal["binary", "structured", "batch"]
EncodeJson = Callable[[object], bytes]
Message = tuple[list[tuple[str, str]], bytes]

REQUIRED = ("specversion", "id", "source", "type")
# One of them makes a message an event, and then each of them is missed.
_REQUIRED_HEADERS = frozenset(f"ce-{name}" for name in REQUIRED)
STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"

# What the reply to an event keeps of it: its subject, its trace, its place in the order.
_COPIED_TO_REPLY = ("subject", "traceparent", "tracestate", "partitionkey")
_REPLY_NAMESPACE = UUID("0b1ce1ab-2c0f-5f0e-9a38-6f1d7a5d7f0c")

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*+"'
_URI_CHARACTERS = r"[0-9A-Za-z\-._~!$&'()*+,;=:@/"
_SCHEME = r"[A-Za-z][0-9A-Za-z+.\-]*+:"
# RFC 3986; possessive (`*+`, `++`), so that no input makes it backtrack.
_HIERARCHY = (
    r"(?://(?:(?:[0-9A-Za-z\-._~!$&'()*+,;=:]++|%[0-9A-Fa-f]{2})*+@)?"
    r"(?:\[[0-9A-Za-z:.]++\]|(?:[0-9A-Za-z\-._~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})*+)"
    r"(?::[0-9]*+)?(?=[/?#]|\Z))?+"
    rf"(?:{_URI_CHARACTERS}]++|%[0-9A-Fa-f]{{2}})*+"
    rf"(?:\?(?:{_URI_CHARACTERS}?]++|%[0-9A-Fa-f]{{2}})*+)?"
    rf"(?:\#(?:{_URI_CHARACTERS}?]++|%[0-9A-Fa-f]{{2}})*+)?"
)
# Without a scheme, the first segment has no colon: `1:a` is neither a scheme nor a path.
_URI_REFERENCE = rf"(?:{_SCHEME}|(?![^/?\#]*:)){_HIERARCHY}"
_PARAMETER = rf"(?:[ \t]*+;[ \t]*+(?:{_WORD}=(?:{_WORD}|{_QUOTED}))?+)"
_MEDIA_TYPE = rf"({_WORD})/({_WORD})({_PARAMETER}*+)[ \t]*+"
_CHARSET = r';[ \t]*charset="?([^";]+)'
# Control characters, noncharacters and unpaired surrogates.
_FORBIDDEN = (
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
# Compiled here is only what every event needs; `re` compiles and keeps the others on first use.
_is_verbatim = re.compile(r"[!#$&-~]+").fullmatch
_is_timestamp = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:)([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
).fullmatch

# Not all that Python knows: no text on the wire is in most of it, and some is slow (idna).
_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
}


class BadEvent(Problem):
    """A message that is no valid CloudEvent. `field` names the attribute or header to blame."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(400, f"{field}: {reason}", field=field)
        self.reason = reason


def mode(headers: Mapping[str, str]) -> Mode | None:
    """How the message carries its events, if it does. The names of headers are lower case."""
    content_type = headers.get("content-type", "")
    if content_type != "application/json":  # nearly all that are no events
        content_type = content_type[:29].lower()
        if content_type.startswith("application/cloudevents"):
            return "batch" if content_type == "application/cloudevents-batch" else "structured"
    return None if _REQUIRED_HEADERS.isdisjoint(headers) else "binary"


def decode(headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """The events of a message: one, or any number of a batch."""
    match mode(headers):
        case "binary":
            return [_decode_binary(headers, body)]
        case "structured":
            return [_decode_envelope(_json_body(headers, body, STRUCTURED_TYPE))]
        case "batch":
            return _decode_batch(_json_body(headers, body, BATCH_TYPE))
        case None:
            raise BadEvent(
                "ce-specversion", "no CloudEvent: send ce- headers or " + STRUCTURED_TYPE
            )


def numpy_json(data: object) -> bytes:
    """JSON of plain data and of numpy arrays."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_binary(event: CloudEvent, encode_json: EncodeJson = numpy_json) -> Message:
    """The event as headers and its data as the body."""
    headers = [
        ("ce-" + name, _header_value(name, value))
        for name, value in event.get_attributes().items()
        if value is not None and name != "datacontenttype"
    ]
    content_type, body = _encode_data(event, encode_json)
    if content_type is not None:
        headers.append(("content-type", content_type))
    return headers, body


def encode_structured(event: CloudEvent, encode_json: EncodeJson = numpy_json) -> Message:
    """The event as one JSON object."""
    return [("content-type", STRUCTURED_TYPE)], encode_json(_envelope(event))


def encode_batch(bodies: Iterable[bytes]) -> Message:
    """Events in structured mode, each encoded before, as one JSON array."""
    return [("content-type", BATCH_TYPE)], b"[" + b",".join(bodies) + b"]"


def reply_to(
    event: CloudEvent,
    data: object,
    *,
    type: str,  # noqa: A002 - the name of the attribute
    source: str,
) -> CloudEvent:
    """The event that answers `event`, with the same id whenever the same event is answered."""
    # No id or source contains a line break, so two requests never share a reply.
    name = f"{event.get_source()}\n{event.get_id()}"
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid5(_REPLY_NAMESPACE, name)),
        "source": source,
        "type": type,
        "time": datetime.now(UTC),
        "datacontenttype": "application/octet-stream" if _is_binary(data) else "application/json",
    }
    asked = event.get_attributes()
    attributes.update(
        {name: asked[name] for name in _COPIED_TO_REPLY if asked.get(name) is not None}
    )
    return event_class()(attributes, data)  # type: ignore[arg-type]  # any JSON is data, not only objects


def is_text(event: CloudEvent) -> bool:
    """Whether its data is plain text, rather than JSON that happens to be a string."""
    return isinstance(event.get_data(), str) and _kind(event.get_datacontenttype())[0] == "text"


@cache
def event_class() -> type[CloudEvent]:
    """The SDK's class, imported with the first event."""
    from cloudevents.core.v1.event import CloudEvent

    return CloudEvent


def _new_event(attributes: dict[str, Any], data: object, prefix: str = "") -> CloudEvent:
    for name in REQUIRED:
        if name not in attributes:
            raise BadEvent(prefix + name, "missing: every CloudEvent has it")
    timed = "time" in attributes
    event = event_class()(attributes, data)  # type: ignore[arg-type]  # as above
    # The SDK gives an event without a time that of its decoding.
    if not timed:
        del event.get_attributes()["time"]
    return event


def _decode_binary(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    attributes = _header_attributes(headers)
    content_type = headers.get("content-type")
    if content_type:
        attributes["datacontenttype"] = _blame("content-type", _media_type, content_type)
    data = _decode_data(content_type or None, body) if body else None
    return _new_event(attributes, data, "ce-")


def _header_attributes(headers: Mapping[str, str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    header = ""
    try:
        for header, value in headers.items():
            if header[:3] == "ce-":
                text = value if _is_verbatim(value) else _unescape(value)
                attributes[header[3:]] = _attribute(header[3:], text)
    except ValueError as error:
        raise BadEvent(header, str(error)) from None
    if "datacontenttype" in attributes:
        raise BadEvent("ce-datacontenttype", "must not be sent: Content-Type says it")
    return attributes


def _attribute(name: str, text: str) -> object:
    check = _CORE.get(name)
    return check(text) if check else _extension(name, text)


def _json_body(headers: Mapping[str, str], body: bytes, expected: str) -> object:
    content_type = headers["content-type"]
    if content_type.partition(";")[0].strip().lower() != expected:
        raise BadEvent(
            "content-type", f"{content_type!r} is a format not known here; use {expected}"
        )
    charset = re.search(_CHARSET, content_type, re.IGNORECASE)
    if charset and charset[1].strip().lower() not in ("utf-8", "utf8", "us-ascii"):
        raise BadEvent("content-type", f"JSON is UTF-8, not {charset[1]!r}")
    return _load_json("body", body)


def _decode_batch(envelopes: object) -> list[CloudEvent]:
    if not isinstance(envelopes, list):
        raise BadEvent("body", "a batch is a JSON array of events")
    return [_decode_element(index, envelope) for index, envelope in enumerate(envelopes)]


def _decode_element(index: int, envelope: object) -> CloudEvent:
    try:
        return _decode_envelope(envelope)
    except BadEvent as error:
        raise BadEvent(f"[{index}].{error.field}", error.reason) from None


def _decode_envelope(envelope: object) -> CloudEvent:
    if not isinstance(envelope, dict):
        raise BadEvent("body", "an event is a JSON object")
    attributes = {
        name: _member_attribute(name, value)
        for name, value in envelope.items()
        if value is not None and name not in ("data", "data_base64")
    }
    # Data without a type is JSON. Saying so keeps `"data": null` apart from no data in whatever
    # the event is encoded to next.
    if "data" in envelope:
        attributes.setdefault("datacontenttype", "application/json")
    return _new_event(attributes, _envelope_data(envelope, attributes.get("datacontenttype")))


def _member_attribute(name: str, value: object) -> object:
    try:
        if isinstance(value, str):
            return _attribute(name, _string(value))
        if name in _CORE:
            raise BadEvent(name, "must be a string")
        return _extension(name, value)
    except ValueError as error:
        raise BadEvent(name, str(error)) from None


def _extension(name: str, value: object) -> object:
    _check_name(name)
    if isinstance(value, str) or (isinstance(value, int) and -(2**31) <= value < 2**31):
        return value
    raise ValueError("must be a string, a boolean or a 32-bit integer")


def _envelope_data(envelope: dict[str, Any], content_type: Any) -> object:
    encoded = envelope.get("data_base64")
    if encoded is None:
        return _member_data(envelope["data"], content_type) if "data" in envelope else None
    if "data" in envelope:
        raise BadEvent("data_base64", "an event has data or data_base64, not both")
    return _decode_data(content_type, _blame("data_base64", _base64, encoded), "data_base64")


def _member_data(data: object, content_type: str | None) -> object:
    kind, charset = _kind(content_type)
    if kind == "json":
        return data
    if not isinstance(data, str):
        raise BadEvent("data", f"must be a string, for its type is {content_type}")
    return data if kind == "text" else _blame("data", lambda text: text.encode(charset), data)


def _base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be a string")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not Base64: {error}") from None


def _decode_data(content_type: str | None, body: bytes, field: str = "data") -> object:
    kind, charset = _kind(content_type)
    if kind == "json":
        return _load_json(field, body)
    if kind == "text":
        return _blame(field, lambda body: body.decode(charset), body)
    return body


def _load_json(field: str, body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadEvent(field, f"not JSON: {error}") from None


def _blame(field: str, convert: Callable[[In], Out], value: In) -> Out:
    try:
        return convert(value)
    except ValueError as error:
        raise BadEvent(field, str(error)) from None


@lru_cache(maxsize=128)
def _kind(content_type: str | None) -> tuple[Literal["json", "text", "bytes"], str]:
    """What the data is in Python, and the charset of its text."""
    if content_type is None:
        return "bytes", "utf-8"
    media_type = re.fullmatch(_MEDIA_TYPE, content_type)
    if media_type is None:
        raise ValueError(f"{content_type!r} is no media type, such as application/json")
    family, subtype = media_type[1].lower(), media_type[2].lower()
    if subtype == "json" or subtype.endswith("+json"):
        return "json", "utf-8"
    return "text" if family == "text" else "bytes", _charset(media_type[3])


def _charset(parameters: str) -> str:
    charset = re.search(_CHARSET, parameters, re.IGNORECASE)
    if charset is None:
        return "utf-8"
    known = _CHARSETS.get(charset[1].strip().lower())
    if known is None:
        raise ValueError(f"unknown charset {charset[1]!r}; use utf-8")
    return known


def _media_type(text: str) -> str:
    _kind(text)
    return text


def _unescape(value: str) -> str:
    """The text of a header value that is quoted, percent-encoded, or both."""
    if not re.fullmatch(r"[ -~\t]*", value):
        raise ValueError(
            "only printable ASCII can be in a header; percent-encode the UTF-8 of the rest"
        )
    if value.startswith('"'):
        if not re.fullmatch(_QUOTED, value):
            raise ValueError("the quoted string does not end, or goes on after its end")
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        raise ValueError("a % that starts no %XX; write %25 for a percent sign")
    return _string(unquote_to_bytes(value).decode())


def _string(text: str) -> str:
    # Nearly every value is printable ASCII, which holds nothing forbidden.
    if not (text.isascii() and text.isprintable()):
        forbidden = re.search(_FORBIDDEN, text)
        if forbidden:
            raise ValueError(f"U+{ord(forbidden[0]):04X} cannot be in an attribute")
    return text


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z0-9]+", name):
        raise ValueError(f"{name!r} is no attribute's name: only a-z and 0-9 are in one")
    if name == "data":
        raise ValueError("the name data is reserved: data is no attribute")


def _version(text: str) -> str:
    if text != "1.0":
        raise ValueError(f"must be 1.0, not {text!r}")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


# The sources of a function's events are few, and checking one is the dearest check of all.
@lru_cache(maxsize=128)
def _uri_reference(text: str) -> str:
    if not re.fullmatch(_URI_REFERENCE, _not_empty(text)):
        raise ValueError(
            f"{text!r} is no URI reference, such as /sensors/1 or https://example.com/a"
        )
    return text


def _uri(text: str) -> str:
    if not re.fullmatch(_SCHEME + _HIERARCHY, _not_empty(text)):
        raise ValueError(f"{text!r} is no absolute URI, such as https://example.com/schema")
    return text


def _timestamp(text: str) -> datetime:
    parts = _is_timestamp(text)
    if parts is None:
        raise ValueError(f"{text!r} is no RFC 3339 time, such as 2026-01-31T12:00:00Z")
    if parts[2] == "60":
        # A leap second, which datetime cannot tell: the last instant before it stays in order.
        text = f"{parts[1]}59.999999{parts[3]}"
    return datetime.fromisoformat(text.upper())


_CORE: dict[str, Callable[[str], object]] = {
    "specversion": _version,
    "id": _not_empty,
    "source": _uri_reference,
    "type": _not_empty,
    "subject": _not_empty,
    "time": _timestamp,
    "dataschema": _uri,
    "datacontenttype": _media_type,
}


def _is_binary(data: object) -> bool:
    return isinstance(data, bytes | bytearray | memoryview)


def _header_value(name: str, value: object) -> str:
    if name in _CORE and isinstance(value, str) and _is_verbatim(value):
        return value
    member = _member(name, value)
    text = str(member).lower() if isinstance(member, bool) else str(member)
    return text if _is_verbatim(text) else quote(text, safe="!#$&'()*+,/:;<=>?@[\\]^`{|}~")


def _member(name: str, value: object) -> str | int:
    """What stands for an attribute's value in JSON."""
    if name not in _CORE:
        _check_name(name)
    match value:
        case str():
            return _string(value)
        case datetime():
            return _rfc3339(value)
        case bytes():
            return base64.b64encode(value).decode()
        case int() if -(2**31) <= value < 2**31:
            return value
    raise TypeError(
        f"attribute {name!r} is {value!r}: CloudEvents has strings, booleans, 32-bit integers, "
        "bytes and times"
    )


def _rfc3339(moment: datetime) -> str:
    # RFC 3339 has offsets in minutes; those of old local times have seconds.
    if moment.tzinfo is not UTC and moment.strftime("%z")[5:]:
        moment = moment.astimezone(UTC)
    text = moment.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def _encode_data(event: CloudEvent, encode_json: EncodeJson) -> tuple[str | None, bytes]:
    """The content type and the body of binary mode."""
    data: object = event.get_data()
    content_type = event.get_datacontenttype()
    if _is_binary(data):
        return _checked_type(content_type), bytes(data)  # type: ignore[call-overload]  # a buffer
    if content_type is None:
        return (None, b"") if data is None else ("application/json", encode_json(data))
    kind, charset = _kind(content_type)
    if kind == "json":
        return content_type, encode_json(data)
    return content_type, b"" if data is None else _text(data, content_type).encode(charset)


def _checked_type(content_type: str | None) -> str | None:
    _kind(content_type)
    return content_type


def _text(data: object, content_type: str) -> str:
    if not isinstance(data, str):
        raise TypeError(f"data is {type(data).__name__}: as {content_type} it must be str or bytes")
    return data


def _envelope(event: CloudEvent) -> dict[str, object]:
    envelope: dict[str, object] = {
        name: _member(name, value)
        for name, value in event.get_attributes().items()
        if value is not None
    }
    data: object = event.get_data()
    content_type = event.get_datacontenttype()
    kind, _ = _kind(content_type)
    if _is_binary(data):
        envelope["data_base64"] = base64.b64encode(data).decode()  # type: ignore[arg-type]  # a buffer
    elif kind == "json":
        envelope["data"] = data
    elif data is not None:
        envelope["data"] = data if content_type is None else _text(data, content_type)
    return envelope
