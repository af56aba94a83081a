"""Versions of Knative, compared."""

from __future__ import annotations

import pytest
from mlfunc.knative import versions


@pytest.mark.parametrize(
    ("version", "older"),
    [("1.20.3", True), ("v1.9", True), ("1.21.0", False), ("2.0", False), ("devel", False)],
)
def test_a_version_that_does_not_tell_is_not_older(version: str, older: bool) -> None:
    assert versions.is_before(version, (1, 21)) is older
