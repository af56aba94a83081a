"""When another process is started in place of one that has ended."""

from __future__ import annotations

from mlfunc_runtime.isolation.supervised import _pause


def test_the_first_loss_is_made_good_at_once_and_those_that_follow_later_and_later() -> None:
    pauses = [_pause(losses) for losses in range(9)]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 30, 30]
