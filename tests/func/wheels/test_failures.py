"""What uv says when it fails becomes what to do next."""

from __future__ import annotations

import pytest
from mlfunc import accelerators
from mlfunc.wheels import failures

CPU = accelerators.TABLE["cpu"]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (
            "Because mlfunc-runtime was not found in the package registry and you require it",
            "MLFUNC_RUNTIME=",
        ),
        ("Packages were unavailable because the network was disabled.", "connect to a network"),
        ("Because x==9 was not found in the package registry", "correct requirements.txt"),
    ],
    ids=["no runtime in the index", "offline", "no such package"],
)
def test_a_failure_says_what_to_do(said: str, hint: str) -> None:
    error = failures.of(said, CPU)

    assert hint in error.hint
    assert error.evidence
