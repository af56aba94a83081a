"""CloudEvents as headers, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import events
from mlfunc.errors import UsageError
from mlfunc.events import CloudEvent


def event(**changes: object) -> CloudEvent:
    given_ = {
        "type": "t",
        "source": "/s",
        "id": "1",
        "data": b"{}",
        "content_type": "application/json",
    }
    return CloudEvent(**{**given_, **changes})  # type: ignore[arg-type]


def test_an_event_travels_in_binary_mode() -> None:
    request = events.to_request(event(extensions={"trace": "a b"}), {"x-tag": "1"})

    assert request.body == b"{}"
    assert request.headers == {
        "content-type": "application/json",
        "x-tag": "1",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/s",
        "ce-type": "t",
        "ce-trace": "a%20b",
    }


def test_values_are_encoded_as_the_http_binding_shows() -> None:
    assert events.encode("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert events.encode('"100%"') == "%22100%25%22"


@given(st.text())
def test_any_value_comes_back_as_it_was(value: str) -> None:
    encoded = events.encode(value.encode(errors="ignore").decode())

    assert encoded.isascii()
    assert events.decode(encoded) == value.encode(errors="ignore").decode()


def test_a_quoted_value_is_unquoted() -> None:
    assert events.decode('"a \\"b\\""') == 'a "b"'


def test_the_event_of_a_reply_has_its_core_attributes_first() -> None:
    headers = {
        "ce-zone": "eu",
        "ce-type": "t",
        "ce-id": "1",
        "ce-source": "/s%20x",
        "ce-specversion": "1.0",
        "content-type": "text/plain",
    }

    assert list(events.attributes(headers).items()) == [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/s x"),
        ("type", "t"),
        ("zone", "eu"),
    ]


def test_a_reply_without_a_version_is_no_event() -> None:
    assert events.attributes({"ce-type": "t"}) == {}


@pytest.mark.parametrize(
    "changes", [{"type": ""}, {"extensions": {"my-ext": "x"}}, {"extensions": {"Ä": "x"}}]
)
def test_what_no_event_may_have_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        events.to_request(event(**changes), {})
