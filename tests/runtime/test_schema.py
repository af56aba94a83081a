"""Annotations become validation; a mistake names its field."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import schema
from mlfunc_runtime.errors import Problem, StartupError


@dataclasses.dataclass
class Box:
    x: int
    parts: list[Box] = dataclasses.field(default_factory=list)


class Options(TypedDict):
    top: int


def typed(
    text: str,
    top: Annotated[int, msgspec.Meta(ge=1)] = 3,
    kind: Literal["a", "b"] = "a",
    tags: list[str] = [],  # noqa: B006 - as users write it
) -> list[float]:
    raise NotImplementedError


def test_defaults_fill_what_is_not_sent() -> None:
    assert schema.bind(typed).from_body(b'{"text": "x"}') == {
        "text": "x",
        "top": 3,
        "kind": "a",
        "tags": [],
    }


def test_a_mutable_default_is_not_shared() -> None:
    binding = schema.bind(typed)
    binding.from_body(b'{"text": "x"}')["tags"].append("leak")
    assert binding.from_body(b'{"text": "x"}')["tags"] == []


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        (b"{}", "text", "missing required field `text`; expected a JSON object with text, top, kind, tags"),
        (b'{"text": 3}', "text", "text: Expected `str`, got `int`"),
        (b'{"text": "x", "topp": 1}', "topp", "unknown field `topp`; expected a JSON object with text, top, kind, tags"),
        (b'{"text": "x", "top": 0}', "top", "top: Expected `int` >= 1"),
        (b'{"text": "x", "kind": "c"}', "kind", "kind: Invalid enum value 'c'"),
        (b'{"text": "x", "tags": ["a", 3]}', "tags[1]", "tags[1]: Expected `str`, got `int`"),
        (b"[1]", None, "Expected `object`, got `array`; expected a JSON object with text, top, kind, tags"),
        (b"", None, "the body is empty; expected a JSON object with text, top, kind, tags"),
        (b"{", None, "the body is no valid JSON: Input data was truncated"),
        (b'{"text": "x"} z', None, "the body is no valid JSON: JSON is malformed: trailing characters (byte 15)"),
        (b'{"text": "\xff"}', None, "the body is no valid JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_field(body: bytes, field: str | None, told: str) -> None:
    with pytest.raises(Problem) as raised:
        schema.bind(typed).from_body(body)
    assert (raised.value.status, raised.value.field, raised.value.detail) == (400, field, told)


@given(st.binary(max_size=64))
def test_no_body_makes_anything_but_a_problem(body: bytes) -> None:
    with contextlib.suppress(Problem):
        assert isinstance(schema.bind(typed).from_body(body)["text"], str)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists))
def test_an_unannotated_parameter_takes_any_json(value: Any) -> None:
    binding = schema.bind(lambda data: None)
    assert binding.from_body(json.dumps(value).encode()) == {"data": value}


@pytest.mark.parametrize(
    ("annotation", "body", "expected"),
    [
        (Box, b'{"x": 1, "parts": [{"x": 2}]}', Box(1, [Box(2)])),
        (Options, b'{"top": 3}', {"top": 3}),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
        (bytes, b"\x89PNG", b"\x89PNG"),
        (Any, b"[1]", [1]),
    ],
)
def test_a_single_parameter_of_an_object_type_gets_the_whole_body(
    annotation: Any, body: bytes, expected: Any
) -> None:
    def predict(item: Any) -> None: ...

    predict.__annotations__["item"] = annotation
    assert schema.bind(predict).from_body(body) == {"item": expected}


def test_a_single_parameter_of_a_plain_type_is_a_field() -> None:
    def predict(features: list[float]) -> None: ...

    assert schema.bind(predict).from_body(b'{"features": [1, 2.5]}') == {"features": [1, 2.5]}


def test_text_fills_the_only_field_that_must_be_there() -> None:
    assert schema.bind(typed).from_text("hello")["text"] == "hello"


def test_batched_annotations_are_lists_of_what_one_request_sends() -> None:
    def predict(text: list[str], rank: list[int]) -> list[dict[str, float]]:
        return []

    binding = schema.bind(predict, batched=True)
    assert binding.from_body(b'{"text": "x", "rank": 1}') == {"text": "x", "rank": 1}
    assert schema.output_type(predict, batched=True) == dict[str, float]


def test_a_batched_parameter_that_is_no_list_is_refused() -> None:
    def predict(text: str) -> None: ...

    with pytest.raises(StartupError) as raised:
        schema.bind(predict, batched=True)
    assert raised.value.hint == "write `text: list[str]`, or set max_size to 1"


@pytest.mark.parametrize("signature", ["*texts", "**texts", "texts, /"])
def test_parameters_that_no_field_can_fill_are_refused(signature: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def predict({signature}): ...", scope)
    with pytest.raises(StartupError, match="cannot be filled"):
        schema.bind(scope["predict"])


def test_an_annotation_that_json_cannot_hold_is_refused() -> None:
    def predict(of: type[int], n: int) -> None: ...

    with pytest.raises(StartupError, match="an annotation cannot be read from JSON"):
        schema.bind(predict)


def test_an_annotation_that_does_not_resolve_is_refused() -> None:
    def predict(text: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(StartupError, match="does not resolve: name 'Missing' is not defined"):
        schema.bind(predict)


def test_the_schema_of_a_recursive_type_keeps_its_definition() -> None:
    found = schema.json_schema(Box)
    assert found["type"] == "object"
    assert found["$defs"]["Box"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Box"}


def test_an_array_is_made_of_nested_lists() -> None:
    def predict(image: np.ndarray, scale: float = 1) -> None: ...

    binding = schema.bind(predict)
    image = binding.from_body(b'{"image": [[1, 2], [3, 4.5]]}')["image"]
    assert (image.dtype, image.shape) == (np.float64, (2, 2))
    with pytest.raises(Problem) as raised:
        binding.from_body(b'{"image": [[1], [2, 3]]}')
    assert raised.value.field == "image"


@pytest.mark.parametrize("annotation", [Any, object])
def test_what_has_no_schema_has_an_empty_one(annotation: Any) -> None:
    assert schema.json_schema(annotation) == {}
