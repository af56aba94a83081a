"""Events off the wire and onto it: what is wrong is refused in words, nothing is changed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.broker import cloudevents
from mlfunc.supervisor.broker.cloudevents import BadEvent, Event

GOOD = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
STRUCTURED = [("content-type", "application/cloudevents+json; charset=utf-8")]
BINARY = [("ce-" + name, value) for name, value in GOOD.items()]


def _decoded(**members: object) -> Event:
    (found,) = cloudevents.decode(STRUCTURED, json.dumps({**GOOD, **members}).encode())
    return found


def test_binary_mode_keeps_the_data_byte_for_byte() -> None:
    headers = [*BINARY, ("content-type", "image/png"), ("ce-subject", "Euro%20%E2%82%AC")]
    (found,) = cloudevents.decode(headers, b"\x89\x00")

    assert found.data == b"\x89\x00"
    assert found.attributes == {**GOOD, "subject": "Euro €", "datacontenttype": "image/png"}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True).filter(
            lambda name: name not in {*GOOD, "data", "datacontenttype", "time"}
        ),
        st.text(min_size=1),
    ),
    st.binary(min_size=1),
)
def test_what_goes_out_in_binary_mode_comes_in_as_it_was(
    extensions: dict[str, str], data: bytes
) -> None:
    plain = {name: text.encode(errors="ignore").decode() for name, text in extensions.items()}
    event = Event({**GOOD, **plain, "datacontenttype": "x/y"}, data)
    assert cloudevents.decode(*cloudevents.binary(event)) == [event]


def test_structured_mode_has_json_text_and_bytes() -> None:
    assert _decoded(data={"n": [1]}).data == b'{"n":[1]}'
    assert _decoded(data={"n": 1}).attributes["datacontenttype"] == "application/json"
    assert _decoded(data="hello", datacontenttype="text/plain").data == b"hello"
    assert _decoded(data_base64="AAE=").data == b"\x00\x01"
    assert _decoded(subject=None, tier=1, hot=True).attributes == {
        **GOOD,
        "tier": "1",
        "hot": "true",
    }


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"id": ""}, "id: is missing"),
        ({"type": None}, "type: is missing"),
        ({"specversion": "0.3"}, "specversion: must be 1.0, not 0.3"),
        ({"source": "a b"}, "source: 'a b' is no URI reference"),
        ({"source": 5}, "source: an attribute is text"),
        ({"time": "yesterday"}, "time: 'yesterday' is no time of RFC 3339"),
        ({"my-ext": "x"}, "my-ext: only a-z and 0-9"),
        ({"tier": 1.5}, "tier: an attribute is text"),
        ({"tier": {}}, "tier: an attribute is text"),
        ({"data": 1, "data_base64": "AA=="}, "data_base64: an event has data or data_base64"),
        ({"data_base64": "%"}, "data_base64: not Base64"),
        ({"data": 1, "datacontenttype": "text/plain"}, "data: must be text"),
        ({"datacontenttype": "a/b\r\nx-role: admin"}, "datacontenttype: 'a/b\\r\\nx-role: admin'"),
        ({"datacontenttype": "a/b; c=\u20ac"}, "datacontenttype: 'a/b; c=\u20ac' is no media type"),
    ],
)
def test_what_is_wrong_is_told(members: dict[str, object], said: str) -> None:
    with pytest.raises(BadEvent) as raised:
        _decoded(**members)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ([], b"{}", "no CloudEvent: send ce- headers"),
        (STRUCTURED, b"{", "body: not JSON"),
        (STRUCTURED, b"[" * 100_000, "body: not JSON"),
        (STRUCTURED, b"[]", "body: an event is a JSON object"),
        ([("content-type", "application/cloudevents-batch+json")], b"{}", "body: a batch is"),
        (BINARY[1:], b"", "ce-specversion: is missing"),
        ([*BINARY, ("ce-subject", "%zz")], b"", "ce-subject: a % that starts no %XX"),
        ([*BINARY, ("ce-subject", "%ff")], b"", "ce-subject: not UTF-8"),
        ([*BINARY, ("ce-datacontenttype", "a/b")], b"", "ce-datacontenttype: "),
    ],
)
def test_a_message_that_is_no_event_is_told(
    headers: list[tuple[str, str]], body: bytes, said: str
) -> None:
    with pytest.raises(BadEvent) as raised:
        cloudevents.decode(headers, body)
    assert str(raised.value).startswith(said)


def test_an_envelope_has_json_as_it_is_and_bytes_in_base64() -> None:
    of_json = Event({**GOOD, "datacontenttype": "application/json"}, b'{"n": 1}')
    of_bytes = Event({**GOOD, "datacontenttype": "image/png"}, b"\x00")

    assert json.loads(msgspec.json.encode(cloudevents.envelope(of_json)))["data"] == {"n": 1}
    assert cloudevents.envelope(of_bytes)["data_base64"] == "AA=="
