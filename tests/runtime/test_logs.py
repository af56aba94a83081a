"""Log lines: one JSON object each, readable by machines whatever is logged."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.logs import JSONFormatter, request_id


def line(
    message: object, *args: object, error: BaseException | None = None, **fields: object
) -> dict[str, object]:
    """What one record becomes."""
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("mine", logging.WARNING, __file__, 1, str(message), args, info)
    record.fields = fields
    text = JSONFormatter().format(record)
    assert "\n" not in text
    assert text.startswith('{"time":')
    found: dict[str, object] = json.loads(text)
    return found


def test_a_line_tells_when_what_and_for_which_request() -> None:
    token = request_id.set("r-1")
    found = line("took %d ms", 3, port=80)
    request_id.reset(token)
    assert found.pop("time")
    assert found == {
        "level": "warning",
        "logger": "mine",
        "message": "took 3 ms",
        "request_id": "r-1",
        "port": 80,
    }


def test_an_exception_is_a_traceback_in_the_line() -> None:
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("{")
    found = line("broken", error=raised.value)
    assert "test_logs.py" in str(found["traceback"])


@given(
    st.text(),
    st.dictionaries(
        st.text(), st.none() | st.binary() | st.complex_numbers() | st.integers() | st.characters()
    ),
)
def test_whatever_is_logged_is_one_line_of_json(message: str, fields: dict[str, object]) -> None:
    assert line(message.replace("%", ""), x=fields)["logger"] == "mine"


def test_a_text_that_is_far_too_long_keeps_its_head_and_its_end() -> None:
    text = "head" + "x" * 10**7 + "tail"
    with pytest.raises(ValueError, match="head") as raised:
        raise ValueError(text)
    found = line(text, error=raised.value, count=3)
    for each in (found["message"], found["traceback"]):
        assert len(str(each)) < 2**16
        assert "characters ..." in str(each)
        assert str(each).rstrip().endswith("tail")
    assert (str(found["message"])[:5], found["count"]) == ("headx", 3)
