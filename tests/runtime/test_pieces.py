"""What is decoded in pieces is what msgspec decodes in one go, mistakes included."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlfunc_runtime import pieces, schema
from mlfunc_runtime.patching import hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELDS: dict[str, Any] = {
    "a": list[float],
    "b": np.ndarray,
    "c": list[list[int]],
    "d": list,
    "e": list[str],
    "f": int,
    "g": Any,
}
INPUT = msgspec.defstruct(
    "Input",
    [(name, kind, None) for name, kind in FIELDS.items()],
    forbid_unknown_fields=True,
    kw_only=True,
)
NUMBERS = st.one_of(
    st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), st.integers()
)
VALUES = st.recursive(
    st.one_of(
        NUMBERS, st.none(), st.booleans(), st.text('a",[]{}\\ é', max_size=5), st.lists(NUMBERS)
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.sampled_from([*FIELDS, "z", '"', "é"]), inner)
    ),
    max_leaves=30,
)
TENSORS = st.builds(
    lambda shape, seed: np.random.default_rng(seed).integers(-9, 9, shape).tolist(),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.integers(0, 9),
)
OBJECTS = st.dictionaries(st.sampled_from([*FIELDS, "z"]), st.one_of(VALUES, TENSORS, TENSORS))
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 2), st.sampled_from([*'[],{}":1. e-', '"a":[1,2],', "null"])
    ),
    max_size=3,
)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    """Pieces of some bytes: short bodies have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "LARGE", 24)
        patch.setattr(pieces, "_PIECE", 6)
        yield


def outcome(decode: Callable[[bytes], Any], body: bytes) -> object:
    try:
        return told(decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return type(error), str(error)


def told(value: Any) -> object:
    """Something that is equal only to what is the same."""
    match value:
        case np.ndarray():
            return str(value.dtype), value.shape, repr(value.tolist())
        case msgspec.Struct():
            return told(msgspec.structs.asdict(value))
        case dict():
            return [(key, told(each)) for key, each in value.items()]
        case _:
            return repr(value)


def in_pieces(kind: Any, fields: dict[str, Any]) -> Callable[[bytes], Any]:
    return pieces.decoder(in_one_go(kind), kind, fields)


def in_one_go(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind, dec_hook=schema.read_array).decode


def same(kind: Any, fields: dict[str, Any], body: bytes) -> None:
    assert outcome(in_pieces(kind, fields), body) == outcome(in_one_go(kind), body)


def edited(value: Any, edits: list[tuple[float, int, str]], indent: int | None) -> bytes:
    """Its JSON, with a few characters dropped or put in."""
    separators = None if indent is not None else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    for where, dropped, put in edits:
        at = int(where * len(text))
        text = text[:at] + put + text[at + dropped :]
    return text.encode("utf-8", "surrogatepass")


@given(st.one_of(VALUES, OBJECTS, TENSORS), EDITS, st.sampled_from([None, None, 0, 1]))
@example([[1, 2, 3, 4, 5, 6, 7, 8, 9]], [(1.0, 0, " ")], None)
def test_any_json_is_the_same(value: Any, edits: Any, indent: int | None) -> None:
    same(Any, {}, edited(value, edits, indent))


@given(OBJECTS, EDITS, st.sampled_from([None, None, 0, 1]))
@example({"a": [[*range(20)]]}, [], None)
@example({"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, "x"]}, [], None)
@example({"b": [0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0, 0]}, [], None)
@example({"b": [None, None, 1, 1, 1, 1.5, 1, 1, 1, 1, 1, 1, 1]}, [], None)
@example({"b": [True, False, True, True, 1, 1, 1, 1, 1, 1, 1, 1, 1]}, [], None)
@example({"b": [2**63, 2**63, 2**63, 2**63, 1, 1, 1, 1, 1, 1, 1, -1]}, [], None)
@example({"b": [[1, 2, 3, 4], [5, 6, 7, 8, 9], [1, 2, 3, 4]]}, [], None)
@example({"b": [[[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 2], [3, 4], [5, 6], [7, 8]]]}, [], None)
def test_typed_fields_are_the_same(value: Any, edits: Any, indent: int | None) -> None:
    same(INPUT, FIELDS, edited(value, edits, indent))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":["x",1,2,3,4,5,6,7,8,9,10,11,12],"a":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]}',
        b'{"a":[1,2,3,4,5,6,7,8,9,10,11,12,13,14],"b":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]}',
        b'{"d":[0,0,0,0,0,0,0,0],"a":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}',
        b'{"\\u0061":[1,2,3,4,5,6,7,8,9,10,11,12,13,14],"a":"[1,2,3,4,5,6,7,8,9,10]"}',
        b"[" * 200 + b"]" * 200,
        b"[" * 100_000,
        b'{"a":[' + b"1," * 50,
        b'{"e":["\xff","aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}',
        b'{"f":1,"a":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]} x',
    ],
)
def test_traps_are_the_same(body: bytes) -> None:
    same(INPUT, FIELDS, body)
    same(Any, {}, body)


@pytest.mark.parametrize("size", range(20, 40))
def test_a_comma_too_many_is_one(size: int) -> None:
    body = json.dumps([7] * size, separators=(",", ":")).encode()
    same(Any, {}, body[:-1] + b",]")
    same(Any, {}, b"[," + body[1:])


@pytest.mark.parametrize("shape", [(9000,), (3, 64, 50), (1, 1, 3, 64, 50), (64, 50, 3)])
@pytest.mark.parametrize("field", ["b", "d", "g"])
def test_others_have_many_turns_while_an_array_is_read(shape: tuple[int, ...], field: str) -> None:
    array = np.random.default_rng(0).random(shape)
    body = json.dumps({field: array.tolist()}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "LARGE", 8192)
        patch.setattr(pieces, "_PIECE", 4096)
        decoded, turns = counted(in_pieces(INPUT, FIELDS), body)
    assert np.array_equal(getattr(decoded, field), array)
    assert turns >= len(body) / (2 * 4096)


def test_only_pieces_are_read_beside_fields_that_look_alike() -> None:
    sizes: list[int] = []
    zeros = [0] * 30
    body = {"g": {"n": zeros}, "a": zeros * 2, "b": zeros * 2, "f": 1, "d": zeros * 2}

    def read(kind: type, value: Any) -> Any:
        sizes.append(len(value))
        return schema.array_type(kind)(value)  # type: ignore[misc]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "read_array", read)
        decoded = in_pieces(INPUT, FIELDS)(json.dumps(body).encode())
    assert (decoded.a, decoded.b.tolist(), decoded.d) == (zeros * 2,) * 3
    assert sizes == [0]


def counted(decode: Callable[[bytes], Any], body: bytes) -> tuple[Any, int]:
    """What is decoded, and how often others had a turn."""
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            hub.turn()
            turns += 1

    other = gevent.spawn(count)
    decoded = decode(body)
    other.kill()
    return decoded, turns


def test_a_client_that_leaves_ends_the_decoding() -> None:
    body = json.dumps({"a": [random.random() for _ in range(100)]}).encode()
    job = gevent.spawn(in_pieces(INPUT, FIELDS), body)
    gevent.sleep(0)
    job.kill()
    assert job.value is None or isinstance(job.value, gevent.GreenletExit)
