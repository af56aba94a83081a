"""How a model reaches its function."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.errors import UsageError
from mlfunc.function import Model
from mlfunc.models.delivery import BAKED_AT_MOST, choose

REMOTE = "hf://org/name"


@pytest.mark.parametrize(
    ("uri", "delivery", "size", "way"),
    [
        ("./weights", "auto", BAKED_AT_MOST, "baked"),
        ("./weights", "auto", BAKED_AT_MOST + 1, "volume"),
        (REMOTE, "auto", 10**12, "volume"),
        (REMOTE, "stream", 1, "stream"),
        ("s3://bucket/prefix", "stream", 1, "stream"),
        ("oci://host/model", "volume", 1, "volume"),
        ("./weights", "baked", 10**12, "baked"),
        ("pvc://claim/path", "auto", 0, "pvc"),
        ("pvc://claim/path", "pvc", 0, "pvc"),
    ],
)
def test_a_model_goes_by_its_size_unless_it_is_told_otherwise(
    uri: str, delivery: Any, size: int, way: str
) -> None:
    assert choose("default", Model(uri, delivery=delivery), size).way == way


@pytest.mark.parametrize(
    ("uri", "delivery", "hint"),
    [
        ("pvc://claim/path", "baked", "write `delivery: pvc`"),
        ("./weights", "stream", "hf:// or s3:// only"),
        ("oci://host/model", "stream", "hf:// or s3:// only"),
        (REMOTE, "pvc", "the address is pvc://claim/path"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(uri: str, delivery: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"model big: {uri} cannot be delivered") as caught:
        choose("big", Model(uri, delivery=delivery), 1)

    assert hint in caught.value.hint


def test_a_large_model_says_its_size_as_the_reason() -> None:
    assert choose("default", Model(REMOTE), 12 * 10**9).why == "12 GB: above 10 GB"
