"""Results as JSON: arrays without a Python list, and clear words for what has no JSON form."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections import deque
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import codec
from mlfunc_runtime.messages import Request
from mlfunc_runtime.protocols import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float


class Pair(msgspec.Struct):
    a: int


class Holder(msgspec.Struct):
    array: Any


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1.5, 2], "f4"), b"[1.5,2.0]"),
        (np.arange(6, dtype="i4").reshape(2, 3).T, b"[[0,3],[1,4],[2,5]]"),
        (np.float32(1.5), b"1.5"),
        (np.array(3), b"3"),
        (np.array(["a"]), b'["a"]'),
        (np.array([True]), b"[true]"),
        ({"n": np.int64(3), 4: None}, b'{"n":3,"4":null}'),
        ([float("nan")], b"[null]"),
        (Point(1.0), b'{"x":1.0}'),
        (Pair(1), b'{"a":1}'),
        (Color.RED, b'"red"'),
        ({3}, b"[3]"),
        (deque([1]), b"[1]"),
        (map(str, [1]), b'["1"]'),
        ({"a": 1}.items(), b'[["a",1]]'),
        (np.zeros(2, ">f4"), b"[0.0,0.0]"),
        (np.longdouble(1.5), b"1.5"),
        (Holder(np.array([1.0])), b'{"array":[1.0]}'),
        ({"a": [np.zeros(1, ">i2"), Point(1.0)]}, b'{"a":[[0],{"x":1.0}]}'),
        (datetime.date(2026, 1, 2), b'"2026-01-02"'),
    ],
)
def test_what_predictors_return_has_a_json_form(value: Any, expected: bytes) -> None:
    assert codec.encode(value) == expected


@pytest.mark.parametrize("value", [b"x", [b"x"], object(), {"a": 1 + 2j}, lambda: 1])
def test_what_has_no_json_form_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=r"bytes|object|complex|function"):
        codec.encode(value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_an_array_survives_the_trip(values: list[float]) -> None:
    array = np.array(values, "f4")
    assert np.array_equal(np.array(msgspec.json.decode(codec.encode(array)), "f4"), array)


def test_the_hub_looks_around_before_it_decodes_a_large_body(serve: Callable[..., Client]) -> None:
    client = serve("""
        import numpy as np
        class P:
            def predict(self, x: np.ndarray) -> np.ndarray: return x
    """)
    predictor = client.function.predictor
    assert predictor is not None
    body = codec.encode({"x": np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)})
    other = gevent.spawn(lambda: None)
    decoded = plain.decode(Request(body), predictor.wire)["x"]
    assert other.ready()
    assert decoded.shape == (3, 224, 224)
    assert client.post(body, content_type="application/json").body == codec.encode(decoded)


def test_what_before_predict_had_decoded_is_not_decoded_again(serve: Callable[..., Client]) -> None:
    client = serve("""
        import datetime
        class P:
            def before_predict(self, request): self.seen = request.data
            def predict(self, on: datetime.date, by: dict[int, float], n: float = 2) -> list:
                return [on.year, by[1], n, self.seen["by"]["1"]]
    """)
    predictor = client.function.predictor
    assert predictor is not None
    object.__setattr__(predictor.binding, "decode", None)
    assert client.post({"on": "2026-01-02", "by": {"1": 0.5}}).json() == [2026, 0.5, 2, 0.5]
    wrong = client.post({"on": "2026-01-02", "by": {"1": "x"}})
    assert (wrong.status, wrong.json()["field"]) == (400, "by[...]")


def test_what_was_no_json_to_before_predict_is_told_to_be_none(
    serve: Callable[..., Client],
) -> None:
    client = serve("""
        class P:
            def before_predict(self, request): assert request.data is None
            def predict(self, n: int) -> int: return n
    """)
    wrong = client.post(b"{", content_type="application/json")
    assert (wrong.status, "no valid JSON" in wrong.json()["detail"]) == (400, True)
    assert client.post(b"null", content_type="application/json").status == 400
