"""The codec against the specification's rules, and against the SDK where the SDK is right."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.protocols.cloudevents import (
    BATCH_TYPE,
    STRUCTURED_TYPE,
    BadEvent,
    decode,
    encode_batch,
    encode_binary,
    encode_structured,
    mode,
    reply_to,
)

CORE = {"specversion": "1.0", "id": "1", "source": "/sensors/1", "type": "com.example.read"}
HEADERS = {f"ce-{name}": value for name, value in CORE.items()}
STRUCTURED = {"content-type": STRUCTURED_TYPE}
BATCH = {"content-type": BATCH_TYPE}
UNSET = object()


def binary(body: bytes = b"", **headers: str) -> CloudEvent:
    """Decode a valid binary message with more headers, `_` standing for `-`."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return decode({**HEADERS, **more}, body)[0]


def structured(**members: object) -> CloudEvent:
    return decode(STRUCTURED, orjson.dumps({**CORE, **members}))[0]


def refused(headers: dict[str, str], body: bytes = b"") -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        decode(headers, body)
    assert caught.value.status == 400
    return caught.value


def refused_envelope(**members: object) -> BadEvent:
    envelope = {**CORE, **members}
    kept = {name: value for name, value in envelope.items() if value is not UNSET}
    return refused(STRUCTURED, orjson.dumps(kept))


def event(data: object = None, **attributes: object) -> CloudEvent:
    return CloudEvent({**CORE, "time": datetime(2026, 1, 31, 12, tzinfo=UTC), **attributes}, data)  # type: ignore[arg-type]  # any JSON is data


# Modes


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": "application/cloudevents+json"}, "structured"),
        ({"content-type": "application/cloudevents+json; charset=utf-8"}, "structured"),
        ({"content-type": "Application/CloudEvents+JSON"}, "structured"),
        ({"content-type": "application/cloudevents-batch+json"}, "batch"),
        ({"content-type": "APPLICATION/cloudevents-BATCH+json"}, "batch"),
        ({"content-type": "application/cloudevents+avro"}, "structured"),
        ({"content-type": "application/json", **HEADERS}, "binary"),
        ({"host": "a", "ce-type": "t"}, "binary"),
        ({"content-type": "application/json"}, None),
        ({"force-id": "1", "x-ce-id": "1"}, None),
        ({}, None),
    ],
)
def test_the_content_type_decides_the_mode_and_ce_headers_come_second(
    headers: dict[str, str], expected: str | None
) -> None:
    assert mode(headers) == expected


def test_a_structured_message_that_repeats_its_attributes_in_headers_is_structured() -> None:
    headers = {**STRUCTURED, **HEADERS, "ce-id": "from the header"}
    body = orjson.dumps({**CORE, "data": {"a": 1}})

    (decoded,) = decode(headers, body)

    assert (decoded.get_id(), decoded.get_data()) == ("1", {"a": 1})


def test_json_that_looks_like_an_event_is_none_without_its_content_type() -> None:
    headers = {"content-type": "application/json"}

    assert mode(headers) is None
    assert refused(headers, orjson.dumps({**CORE, "data": 1})).field == "ce-specversion"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents+xml",
        "application/cloudevents-batch+avro",
        "application/cloudevents-batch",
        "application/cloudevents+json; charset=utf-16",
    ],
)
def test_a_format_other_than_json_is_refused_by_name(content_type: str) -> None:
    assert refused({"content-type": content_type}, b"{}").field == "content-type"


# Required attributes


@pytest.mark.parametrize("name", list(CORE))
def test_a_missing_attribute_is_refused_never_made_up(name: str) -> None:
    headers = {header: value for header, value in HEADERS.items() if header != f"ce-{name}"}

    assert refused(headers).field == f"ce-{name}"
    assert refused_envelope(**{name: UNSET}).field == name
    assert refused_envelope(**{name: None}).field == name


@pytest.mark.parametrize("name", [*CORE, "subject", "dataschema", "time"])
def test_an_empty_attribute_is_refused(name: str) -> None:
    assert refused({**HEADERS, f"ce-{name}": ""}).field == f"ce-{name}"
    assert refused_envelope(**{name: ""}).field == name


@pytest.mark.parametrize("version", ["0.3", "1", "1.0.2", "2.0"])
def test_another_version_of_the_specification_is_refused(version: str) -> None:
    assert refused({**HEADERS, "ce-specversion": version}).field == "ce-specversion"
    assert refused_envelope(specversion=version).field == "specversion"


def test_no_time_is_made_up() -> None:
    assert binary().get_time() is None
    assert structured().get_attributes() == CORE
    assert dict(encode_binary(binary())[0]) == HEADERS


@pytest.mark.parametrize(
    "source",
    [
        "/mycontext",
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/cloudevents/spec/pull/123",
        "1-555-123-4567",
        "//host:80/a?b=c#d",
        "http://[::1]:8080/",
        "file:///tmp/a",
        "a%20b",
        "./a:b",
        "#fragment",
        "https://user:secret@example.com/a;b=c",
    ],
)
def test_a_uri_reference_is_a_source(source: str) -> None:
    assert structured(source=source).get_source() == source


@pytest.mark.parametrize(
    "source",
    ["my app", "1:a", "a%2", "a%zz", "http://[::1", "/a#b#c", "/événements", "<a>", "a\\b", "{id}"],
)
def test_what_is_no_uri_reference_is_no_source(source: str) -> None:
    assert refused_envelope(source=source).field == "source"


@pytest.mark.parametrize(
    "source", ["a" * 50_000 + " ", "//" + "a:" * 20_000 + "\\", "%41" * 20_000 + "%"]
)
def test_a_source_made_to_be_slow_is_refused_at_once(source: str) -> None:
    assert refused_envelope(source=source).field == "source"


def test_a_content_type_made_to_be_slow_is_refused_at_once() -> None:
    content_type = "a/b" + "; " * 20_000 + "\x01"

    assert refused({**HEADERS, "content-type": content_type}).field == "content-type"


def test_a_schema_is_an_absolute_uri() -> None:
    assert structured(dataschema="https://example.com/s#1").get_dataschema()
    assert refused_envelope(dataschema="/s").field == "dataschema"


# Names and types of attributes


@pytest.mark.parametrize("name", ["comexampleextension1", "a", "0", "x" * 40])
def test_an_extension_has_a_name_of_letters_and_digits(name: str) -> None:
    (decoded,) = decode({**HEADERS, f"ce-{name}": "v"}, b"")

    assert decoded.get_extension(name) == "v"
    assert structured(**{name: "v"}).get_extension(name) == "v"


@pytest.mark.parametrize("name", ["a-b", "a_b", "", "é", "a.b"])
def test_other_names_are_refused(name: str) -> None:
    assert refused({**HEADERS, f"ce-{name}": "v"}).field == f"ce-{name}"
    assert refused_envelope(**{name: "v"}).field == name


def test_upper_case_names_are_refused() -> None:
    assert refused_envelope(Type="v").field == "Type"


def test_data_is_no_attribute() -> None:
    assert refused({**HEADERS, "ce-data": "v"}).field == "ce-data"


@pytest.mark.parametrize("value", [True, False, 0, -(2**31), 2**31 - 1, "", "text"])
def test_an_extension_keeps_its_type_in_structured_mode(value: object) -> None:
    decoded = structured(ext=value).get_extension("ext")

    assert (decoded, type(decoded)) == (value, type(value))


@pytest.mark.parametrize("value", [1.5, 1.0, 2**31, -(2**31) - 1, {"a": 1}, [1], "\x07", "\ufdd0"])
def test_a_value_of_no_cloudevents_type_is_refused(value: object) -> None:
    assert refused_envelope(ext=value).field == "ext"


@pytest.mark.parametrize(
    "name", ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"]
)
def test_a_core_attribute_that_is_no_string_is_refused(name: str) -> None:
    assert refused_envelope(**{name: 1}).field == name


def test_null_is_the_same_as_unset() -> None:
    decoded = structured(subject=None, time=None, ext=None, datacontenttype=None, data_base64=None)

    assert decoded.get_attributes() == CORE


# Time


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2018-04-05T17:31:00Z", datetime(2018, 4, 5, 17, 31, tzinfo=UTC)),
        ("2018-04-05t17:31:00z", datetime(2018, 4, 5, 17, 31, tzinfo=UTC)),
        ("2018-04-05T17:31:00.5+02:00", datetime(2018, 4, 5, 15, 31, 0, 500_000, UTC)),
        ("2018-04-05T17:31:00.123456789Z", datetime(2018, 4, 5, 17, 31, 0, 123_456, UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("9999-12-31T23:59:60Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_time_is_rfc_3339(text: str, instant: datetime) -> None:
    assert structured(time=text).get_time() == instant
    assert binary(ce_time=text).get_time() == instant


@pytest.mark.parametrize(
    "text",
    [
        "2018-04-05",
        "20180405T173100Z",
        "2018-04-05T17:31:00",
        "2018-04-05T17:31Z",
        "2018-W14-4T17:31:00Z",
        "2018-04-05T24:00:00Z",
        "2018-02-30T17:31:00Z",
        "2018-04-05T17:31:00+24:00",
        "0000-01-01T00:00:00Z",
        "٢٠١٨-04-05T17:31:00Z",
        "now",
    ],
)
def test_other_times_are_refused_with_400(text: str) -> None:
    assert refused_envelope(time=text).field == "time"


# Header values


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%42", "AB"),
        ("%2525", "%25"),
        ("a+b", "a+b"),
        ("a b", "a b"),
        ('a"b', 'a"b'),
        ('"a b"', "a b"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"%E2%82%AC"', "€"),
        ('""', ""),
        ("", ""),
    ],
)
def test_a_header_is_unquoted_then_percent_decoded_once(header: str, text: str) -> None:
    assert binary(ce_ext=header).get_extension("ext") == text


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("%C0%A0", "overlong UTF-8"),
        ("%FF", "no UTF-8"),
        ("%E2%82", "cut UTF-8"),
        ("%ED%A0%80", "a surrogate"),
        ("100%", "a bare percent sign"),
        ("%zz", "no hexadecimal digits"),
        ('"a', "an open quote"),
        ('"a" b', "text after the quote"),
        ("€", "a character that is not ASCII"),
        ("a\tb", "a control character"),
        ("%0A", "an encoded control character"),
        ("%C2%85", "an encoded C1 control character"),
        ("%EF%BF%BE", "a noncharacter"),
    ],
)
def test_a_malformed_header_is_refused_and_named(header: str, why: str) -> None:
    assert refused({**HEADERS, "ce-ext": header}).field == "ce-ext", why


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ('"', "%22"),
        ("100%", "100%25"),
        ("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ],
)
def test_an_attribute_is_percent_encoded_and_nothing_more(text: str, header: str) -> None:
    assert dict(encode_binary(event(ext=text))[0])["ce-ext"] == header


@pytest.mark.parametrize(
    ("value", "header", "member"),
    [
        (True, "true", True),
        (False, "false", False),
        (7, "7", 7),
        (b"\x00\xff", "AP8=", "AP8="),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
        ("text", "text", "text"),
    ],
)
def test_an_extension_has_its_canonical_form(value: object, header: str, member: object) -> None:
    sent = event(ext=value)

    assert dict(encode_binary(sent)[0])["ce-ext"] == header
    assert orjson.loads(encode_structured(sent)[1])["ext"] == member


@pytest.mark.parametrize("value", [1.5, 2**31, {"a": 1}, [1]])
def test_an_extension_of_no_cloudevents_type_is_not_sent(value: object) -> None:
    with pytest.raises(TypeError, match="ext"):
        encode_binary(event(ext=value))
    with pytest.raises(TypeError, match="ext"):
        encode_structured(event(ext=value))


@pytest.mark.parametrize(
    "attributes",
    [{"ext": "a\r\nset-cookie: b"}, {"datacontenttype": "text/plain\r\na: b"}],
    ids=["attribute", "content type"],
)
def test_no_attribute_can_add_a_header(attributes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"U\+000D|media type"):
        encode_binary(event(b"", **attributes))


def test_a_name_changed_after_the_event_was_made_adds_no_header() -> None:
    sent = event()
    sent.get_attributes()["a: b\r\nc"] = "d"

    with pytest.raises(ValueError, match="attribute's name"):
        encode_binary(sent)


def test_a_time_is_sent_with_its_offset_in_whole_minutes() -> None:
    local = timezone(timedelta(hours=1, minutes=30))
    old = timezone(timedelta(minutes=53, seconds=28))

    assert dict(encode_binary(event(time=datetime(2026, 1, 31, tzinfo=local)))[0])["ce-time"] == (
        "2026-01-31T00:00:00+01:30"
    )
    assert dict(encode_binary(event(time=datetime(1890, 1, 31, 12, tzinfo=old)))[0])["ce-time"] == (
        "1890-01-31T11:06:32Z"
    )


# Data


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json ;charset=utf-8",
        "application/json; charset=latin1",
        "application/problem+json",
        "text/json",
        "application/vnd.a.b+JSON; v=1",
    ],
)
def test_json_data_is_python_data_in_every_mode(content_type: str) -> None:
    data = {"a": [1, 2.5, None, True, "é"]}

    assert binary(orjson.dumps(data), content_type=content_type).get_data() == data
    assert structured(datacontenttype=content_type, data=data).get_data() == data
    encoded = "eyJhIjpbMSwyLjUsbnVsbCx0cnVlLCLDqSJdfQ=="
    assert structured(datacontenttype=content_type, data_base64=encoded).get_data() == data


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "é".encode(), "é"),
        ("Text/CSV; charset=UTF-8", "é".encode(), "é"),
        ('text/plain; charset="iso-8859-1"', b"\xe9", "é"),
        ("text/plain; format=flowed; charset=utf-16", "é".encode("utf-16"), "é"),
    ],
)
def test_text_is_str_in_its_charset(content_type: str, body: bytes, text: str) -> None:
    assert binary(body, content_type=content_type).get_data() == text
    assert structured(datacontenttype=content_type, data=text).get_data() == text


def test_all_other_data_is_bytes_even_where_it_is_utf_8() -> None:
    assert binary(b"abc", content_type="application/octet-stream").get_data() == b"abc"
    assert binary(b"<a/>", content_type="application/xml").get_data() == b"<a/>"
    assert binary(b"{}").get_data() == b"{}"
    assert structured(datacontenttype="application/xml", data="<a/>").get_data() == b"<a/>"
    assert structured(datacontenttype="image/png", data_base64="AP8=").get_data() == b"\x00\xff"


def test_base64_without_a_content_type_is_not_taken_for_json() -> None:
    assert structured(data_base64="e30=").get_data() == b"{}"


def test_data_without_a_content_type_is_json_and_says_so_from_then_on() -> None:
    decoded = structured(data="I'm just a string")
    headers, body = encode_binary(decoded)

    assert decoded.get_data() == "I'm just a string"
    assert dict(headers)["content-type"] == "application/json"
    assert body == b'"I\'m just a string"'


def test_a_json_string_is_not_parsed_as_json_again() -> None:
    assert structured(datacontenttype="application/json", data='{"a": 1}').get_data() == '{"a": 1}'


def test_an_empty_body_is_no_data() -> None:
    assert binary(b"", content_type="application/json").get_data() is None


@pytest.mark.parametrize(
    ("content_type", "body", "field"),
    [
        ("application/json", b"{'a': 1}", "data"),
        ("application/json", b"{", "data"),
        ("application/json", b"NaN", "data"),
        ("application/json", b'"\xff"', "data"),
        ("text/plain", b"\xff", "data"),
        ("text/plain; charset=idna", b"a", "content-type"),
        ("json", b"{}", "content-type"),
        ("a/b c", b"{}", "content-type"),
    ],
)
def test_data_that_is_not_what_its_type_says_is_refused(
    content_type: str, body: bytes, field: str
) -> None:
    assert refused({**HEADERS, "content-type": content_type}, body).field == field


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"data": 1, "data_base64": "AP8="}, "data_base64"),
        ({"data": None, "data_base64": "AP8="}, "data_base64"),
        ({"data_base64": 1}, "data_base64"),
        ({"data_base64": "A"}, "data_base64"),
        ({"data_base64": "AP_-"}, "data_base64"),
        ({"data_base64": "é"}, "data_base64"),
        ({"data_base64": "ew==", "datacontenttype": "application/json"}, "data_base64"),
        ({"data": {"a": 1}, "datacontenttype": "text/plain"}, "data"),
        ({"data": "é", "datacontenttype": "application/xml; charset=us-ascii"}, "data"),
        ({"data": "a", "datacontenttype": "no type"}, "datacontenttype"),
    ],
)
def test_data_that_is_wrong_in_an_envelope_is_refused(
    members: dict[str, object], field: str
) -> None:
    assert refused_envelope(**members).field == field


def test_the_content_type_is_sent_once() -> None:
    headers = {**HEADERS, "ce-datacontenttype": "application/json"}

    assert refused(headers).field == "ce-datacontenttype"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"null", b'"a"', b"\xff"])
def test_an_envelope_that_is_no_json_object_is_refused(body: bytes) -> None:
    assert refused(STRUCTURED, body).field == "body"


@pytest.mark.parametrize(
    "data", [[1, 2], True, 1.5, "text", None, {"a": 1}], ids=lambda value: type(value).__name__
)
def test_any_json_is_sent_as_json(data: object) -> None:
    sent = event(data, datacontenttype="application/json")

    headers, body = encode_binary(sent)
    assert orjson.loads(body) == data
    assert dict(headers)["content-type"] == "application/json"
    assert orjson.loads(encode_structured(sent)[1])["data"] == data


def test_null_data_is_kept_apart_from_no_data() -> None:
    null, none = structured(data=None), structured()

    assert encode_binary(null)[1] == b"null"
    assert encode_binary(none)[1] == b""
    assert orjson.loads(encode_structured(null)[1])["data"] is None
    assert "data" not in orjson.loads(encode_structured(none)[1])


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_are_sent_as_they_are_or_as_base64(data: object) -> None:
    sent = event(data, datacontenttype="image/png")

    assert encode_binary(sent)[1] == b"\x00\xff"
    assert orjson.loads(encode_structured(sent)[1])["data_base64"] == "AP8="


def test_bytes_need_no_content_type() -> None:
    headers, body = encode_binary(event(b"a"))

    assert body == b"a"
    assert "content-type" not in dict(headers)


def test_text_is_sent_in_its_charset() -> None:
    assert encode_binary(event("é", datacontenttype="text/plain"))[1] == "é".encode()
    latin = event("é", datacontenttype="text/plain; charset=iso-8859-1")
    assert encode_binary(latin)[1] == b"\xe9"
    assert orjson.loads(encode_structured(latin)[1])["data"] == "é"


def test_data_that_cannot_be_what_its_type_says_is_not_sent() -> None:
    with pytest.raises(TypeError, match="dict"):
        encode_structured(event({"a": 1}, datacontenttype="application/xml"))
    with pytest.raises(TypeError, match="dict"):
        encode_binary(event({"a": 1}, datacontenttype="application/xml"))


def test_numpy_arrays_are_json() -> None:
    assert encode_binary(event(np.arange(3)))[1] == b"[0,1,2]"
    assert orjson.loads(encode_structured(event({"a": np.arange(2)}))[1])["data"] == {"a": [0, 1]}


def test_the_caller_chooses_the_json_encoder() -> None:
    def encode_json(value: object) -> bytes:
        return json.dumps(value, default=sorted).encode()

    assert encode_binary(event({3, 1}), encode_json)[1] == b"[1, 3]"
    assert json.loads(encode_structured(event({3, 1}), encode_json)[1])["data"] == [1, 3]


def test_encoding_leaves_the_event_as_it_was() -> None:
    sent = event({"a": 1}, ext=True)
    before = dict(sent.get_attributes())

    encode_binary(sent)
    encode_structured(sent)

    assert sent.get_attributes() == before


# Batches


def test_a_batch_keeps_its_order_and_its_types() -> None:
    sent = [event([1], id="a"), event(b"\xff", id="b", datacontenttype="image/png")]
    headers, body = encode_batch(encode_structured(each)[1] for each in sent)

    decoded = decode(dict(headers), body)

    assert [(one.get_id(), one.get_data()) for one in decoded] == [("a", [1]), ("b", b"\xff")]


def test_a_batch_may_be_empty() -> None:
    headers, body = encode_batch([])

    assert body == b"[]"
    assert decode(dict(headers), body) == []


@pytest.mark.parametrize("body", [b"{}", b"1", b"", b"[1]"])
def test_a_batch_that_is_no_array_of_objects_is_refused(body: bytes) -> None:
    assert "body" in (refused(BATCH, body).field or "")


def test_a_bad_event_in_a_batch_is_named_by_its_index() -> None:
    body = orjson.dumps([CORE, {**CORE, "source": ""}])

    assert refused(BATCH, body).field == "[1].source"


# Replies


def test_the_reply_to_an_event_is_the_same_event_each_time() -> None:
    first = reply_to(event(id="a"), 1, type="t", source="/f")

    assert reply_to(event(id="a"), 1, type="t", source="/f").get_id() == first.get_id()
    assert reply_to(event(id="b"), 1, type="t", source="/f").get_id() != first.get_id()


def test_source_and_id_do_not_run_into_each_other() -> None:
    one = reply_to(event(source="/a", id="bc"), 1, type="t", source="/f")
    other = reply_to(event(source="/ab", id="c"), 1, type="t", source="/f")

    assert one.get_id() != other.get_id()


def test_a_reply_keeps_subject_trace_and_partition_key() -> None:
    kept = {"subject": "s", "traceparent": "00-a-b-01", "tracestate": "a=b", "partitionkey": "k"}

    before = datetime.now(UTC)

    reply = reply_to(event(ext="no", **kept), 1, type="t", source="/f")

    attributes = reply.get_attributes()
    assert kept.items() <= attributes.items()
    assert "ext" not in attributes
    assert (reply.get_type(), reply.get_source(), reply.get_specversion()) == ("t", "/f", "1.0")
    assert before <= reply.get_attributes()["time"] <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ({"a": 1}, "application/json"),
        ([1], "application/json"),
        ("text", "application/json"),
        (None, "application/json"),
        (b"\xff", "application/octet-stream"),
    ],
)
def test_a_reply_says_what_its_data_is(data: object, content_type: str) -> None:
    reply = reply_to(event(), data, type="t", source="/f")

    assert reply.get_datacontenttype() == content_type
    headers, body = encode_binary(reply)
    assert decode(dict(headers), body)[0].get_data() == data


# Errors and imports


def test_a_bad_event_is_a_problem_that_says_what_is_wrong() -> None:
    error = refused({**HEADERS, "ce-time": "now"})

    assert isinstance(error, Problem)
    assert error.as_dict("r")["field"] == "ce-time"
    assert "RFC 3339" in error.detail


def test_importing_the_codec_leaves_the_sdk_out() -> None:
    script = (
        "import mlfunc_runtime.protocols.cloudevents, sys; print('cloudevents.core' in sys.modules)"
    )

    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert run.stdout.strip() == "False"


# Properties

FORBIDDEN = [chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)]
FORBIDDEN += [chr(code) for code in range(0xFDD0, 0xFDF0)]
TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="".join(FORBIDDEN)),
    min_size=1,
    max_size=30,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20).filter(
    lambda name: name not in {*CORE, "time", "subject", "datacontenttype", "dataschema", "data"}
)
TIMES = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is drawn apart
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - the same
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=9))]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
).filter(lambda value: "\ud800" not in repr(value))
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


@st.composite
def attribute_sets(draw: st.DrawFn) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(TEXT),
        "source": draw(st.sampled_from(["/a", "urn:b", "https://example.com/c?d=%20"])),
        "type": draw(TEXT),
        "time": draw(TIMES),
        "datacontenttype": "application/json",
        **draw(st.dictionaries(NAMES, TEXT, max_size=3)),
    }
    if draw(st.booleans()):
        attributes["subject"] = draw(TEXT)
    return attributes


def content(one: Any) -> tuple[object, object]:
    return one.get_attributes(), one.get_data()


quick = settings(max_examples=60, deadline=None)


@quick
@given(attribute_sets(), OBJECTS)
def test_the_sdk_reads_what_we_write(attributes: dict[str, Any], data: dict[str, Any]) -> None:
    sent = CloudEvent(attributes, data)

    for encode in (encode_binary, encode_structured):
        headers, body = encode(sent)
        read = sdk.from_http_event(sdk.HTTPMessage(dict(headers), body))
        assert content(read) == content(sent)


@quick
@given(attribute_sets(), OBJECTS)
def test_we_read_what_the_sdk_writes(attributes: dict[str, Any], data: dict[str, Any]) -> None:
    sent = CloudEvent(attributes, data)

    for write in (sdk.to_binary_event, sdk.to_structured_event):
        message = write(sent)
        assert content(decode(message.headers, message.body)[0]) == content(sent)


@quick
@given(attribute_sets(), JSON | st.binary())
def test_what_we_write_we_read_in_every_mode(attributes: dict[str, Any], data: Any) -> None:
    if isinstance(data, bytes):
        attributes["datacontenttype"] = "application/octet-stream"
    sent = CloudEvent(attributes, data)

    headers, body = encode_binary(sent)
    got_binary = decode(dict(headers), body)
    # A body of no bytes cannot say whether there was data.
    assert content(got_binary[0]) == (attributes, None if data == b"" else data)
    headers, body = encode_structured(sent)
    assert content(decode(dict(headers), body)[0]) == content(sent)
    headers, body = encode_batch([body, body])
    assert [content(one) for one in decode(dict(headers), body)] == [content(sent)] * 2


@quick
@given(
    st.dictionaries(
        st.sampled_from(["ce-id", "ce-type", "ce-source", "ce-specversion", "ce-time", "ce-x"])
        | st.text(max_size=6).map(lambda name: "ce-" + name),
        st.text(max_size=30) | st.sampled_from(["1.0", "/a", "2018-04-05T17:31:00Z"]),
    ),
    st.sampled_from(["", "application/json", "text/plain"]) | st.text(max_size=30),
    st.binary(max_size=30),
)
def test_any_binary_message_is_an_event_or_a_bad_event(
    headers: dict[str, str], content_type: str, body: bytes
) -> None:
    with suppress(BadEvent):
        decode({**HEADERS, **headers, "content-type": content_type}, body)


@quick
@given(
    st.dictionaries(
        st.sampled_from(["id", "type", "source", "time", "data", "data_base64", "datacontenttype"])
        | st.text(max_size=6),
        JSON | st.floats(),
    )
)
def test_any_envelope_is_an_event_or_a_bad_event(members: dict[str, object]) -> None:
    with suppress(BadEvent):
        decode(STRUCTURED, orjson.dumps({**CORE, **members}))
