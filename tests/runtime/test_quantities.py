"""Durations and sizes; that the command line reads them alike is in tests/contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import quantities


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", ""]))
def test_durations_are_seconds(number: int, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}[unit]
    assert quantities.seconds(f"{number}{unit}", "x") == pytest.approx(number * factor)
