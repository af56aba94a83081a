"""What a request weighs."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from mlfunc_runtime import sizes
from mlfunc_runtime.methods import Hook


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("a text", 6),
        (b"bytes", 5),
        ([1, 2, 3], 3),
        ({"text": "four", "top": 3}, 5),
        (numpy.zeros((7, 3)), 7),
        (numpy.float32(1), 1),
        (3, 1),
        (None, 1),
        (..., 1),
    ],
    ids=repr,
)
def test_the_default_size_is_what_a_model_pads(value: Any, size: float) -> None:
    assert sizes.of(value) == size


def test_all_parameters_count_and_none_weighs_nothing() -> None:
    weigh = sizes.weigher(("a", "b"), None)
    assert weigh({"a": "abc", "b": [1, 2], "request": "not a parameter"})[0] == 5
    assert weigh({"a": "", "b": []})[0] > 0


def test_keys_tell_arrays_apart_by_type_and_rank_and_nothing_else() -> None:
    weigh = sizes.weigher(("a",), None)

    def key(value: Any) -> object:
        return weigh({"a": value})[1]

    assert key(numpy.zeros(3, "f4")) == key(numpy.zeros(9, "f4"))
    assert (
        len({key(numpy.zeros(3, "f4")), key(numpy.zeros(3)), key(numpy.zeros((3, 1), "f4"))}) == 3
    )
    assert key("text") == key([1]) == key(None) == ()


def test_a_lone_parameter_of_size_may_have_any_name() -> None:
    weigh = sizes.weigher(("text",), Hook(lambda item: len(item) * 2, ("item",)))
    assert weigh({"text": "abc"}) == (6, ())


def test_several_are_passed_by_name() -> None:
    weigh = sizes.weigher(("a", "b"), Hook(lambda b: b, ("b",)))
    assert weigh({"a": 1, "b": 2})[0] == 2


@pytest.mark.parametrize("wrong", [None, "x", -1, float("nan"), float("inf")], ids=repr)
def test_what_is_no_size_is_named(wrong: Any) -> None:
    weigh = sizes.weigher(("a",), Hook(lambda a: wrong, ("a",)))
    with pytest.raises(ValueError, match="size returned"):
        weigh({"a": 1})
