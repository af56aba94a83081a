"""Suggestions help, or stay away."""

from __future__ import annotations

from mlfunc.suggest import closest, did_you_mean


def test_a_near_miss_gets_one_suggestion() -> None:
    assert did_you_mean("creat", ["run", "create"]) == "did you mean create?"


def test_a_far_miss_gets_the_list() -> None:
    assert did_you_mean("gpu", ["cpu-only", "tpu"]) == "use one of cpu-only, tpu"


def test_a_list_of_one_is_told_as_one() -> None:
    assert did_you_mean("zzz", ["hello"]) == "use hello"


def test_nothing_close_is_nothing() -> None:
    assert closest("zzz", ["run"]) is None
