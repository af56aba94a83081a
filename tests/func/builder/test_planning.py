from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.builder.planning import Part, Past, difference, plan
from mlfunc.builder.records import Record
from mlfunc.layers.making import Made
from mlfunc.layers.tree import Tree
from mlfunc.oci.content import LAYER, LAYER_GZIP, LAYER_ZSTD, Descriptor
from mlfunc.packs.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.layers.making import Compression

DIGEST = "sha256:" + "1" * 64


def part(
    key: str, name: str = "app", *, raw: bool = False, inputs: Mapping[str, str] | None = None
) -> Part:
    layer = Layer(name, "app", key, lambda _: Tree(), raw=raw, inputs=inputs or {})
    return Part(layer, "mlfunc/app", "/layers/app", "")


def record(
    name: str = "app", media_type: str = LAYER_ZSTD, inputs: dict[str, str] | None = None
) -> Record:
    return Record(name, "/layers/app", DIGEST, media_type, DIGEST, 5, inputs or {})


def nothing(_key: str, _compression: Compression) -> None:
    return None


def here(_key: str, _compression: Compression) -> Made:
    return Made(DIGEST, Descriptor(LAYER_ZSTD, DIGEST, 5))


def test_a_layer_of_the_previous_image_is_reused_by_digest() -> None:
    (step,) = plan([part("k")], Past({"k": record()}, {}, nothing), "zstd")
    assert (step.made and step.made.descriptor.digest, step.why) == (DIGEST, "unchanged")


def test_what_was_made_here_is_not_made_again() -> None:
    (step,) = plan([part("k")], Past({}, {}, here), "zstd")
    assert (step.made is not None, step.why) == (True, "made before")


def test_another_compression_makes_another_layer() -> None:
    before = {"k": record(media_type=LAYER_GZIP)}
    (step,) = plan([part("k")], Past(before, {}, nothing), "zstd")
    assert step.made is None


def test_weights_stay_as_they_are_whatever_the_compression() -> None:
    before = {"k": record(media_type=LAYER)}
    (step,) = plan([part("k", raw=True)], Past(before, {}, nothing), "gzip")
    assert step.made is not None


def test_the_reason_is_the_input_that_changed() -> None:
    last = {"old": record(inputs={"predictor.py": "1", "a.py": "1"})}
    now = part("new", inputs={"predictor.py": "2", "a.py": "1"})
    (step,) = plan([now], Past({}, last, nothing), "zstd")
    assert step.why == "predictor.py changed"


def test_a_layer_that_never_was_is_new() -> None:
    (step,) = plan([part("k")], Past({}, {}, nothing), "zstd")
    assert step.why == "new"


def test_another_version_of_a_package_takes_its_place() -> None:
    last = {"old": record(name="torch 2.12", inputs={"torch": "2.12"})}
    now = part("new", name="torch 2.13", inputs={"torch": "2.13"})
    (step,) = plan([now], Past({}, last, nothing), "zstd")
    assert step.why == "torch changed"


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": "1"}, {"a": "1", "b": "1"}, "b added"),
        ({"a": "1", "b": "1"}, {"a": "1"}, "b removed"),
        ({"a": "1"}, {"a": "2", "b": "1"}, "a changed, b added"),
        (dict.fromkeys("abcd", "1"), dict.fromkeys("abcd", "2"), "a, b and 2 more changed"),
        (dict.fromkeys("abc", "1"), dict.fromkeys("abc", "2"), "a, b, c changed"),
        ({}, {"a": "1"}, ""),
    ],
)
def test_differences_in_words(before: dict[str, str], now: dict[str, str], said: str) -> None:
    assert difference(before, now) == said


@given(st.lists(st.text(min_size=1), unique=True), st.data())
def test_every_part_has_a_step_in_its_place(keys: list[str], data: st.DataObject) -> None:
    known = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
    steps = plan(
        [part(key) for key in keys], Past(dict.fromkeys(known, record()), {}, nothing), "zstd"
    )
    assert [step.part.layer.key for step in steps] == keys
    assert {step.part.layer.key for step in steps if step.made} == known
