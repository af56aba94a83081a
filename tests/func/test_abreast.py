"""Work side by side: in order, at once, and over with the first failure."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import abreast


def nothing() -> None:
    """Nobody needs to be told."""


@given(st.lists(st.integers()), st.integers(1, 8))
def test_results_come_in_the_order_of_the_items(items: list[int], at_once: int) -> None:
    assert abreast.each(lambda n: (n, str(n)), items, at_once=at_once, stop=nothing) == [
        (n, str(n)) for n in items
    ]


def test_as_many_work_at_once_as_are_allowed() -> None:
    """Each waits for all others: with fewer, none would end."""
    together = threading.Barrier(3, timeout=30)

    assert len(abreast.each(lambda _: together.wait(), range(3), at_once=3, stop=nothing)) == 3


def test_a_failure_stops_those_at_work_and_is_raised() -> None:
    stopped, begun = threading.Event(), []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise LookupError("the second")
        assert stopped.wait(30)

    with pytest.raises(LookupError, match="the second"):
        abreast.each(work, range(9), at_once=2, stop=stopped.set)

    assert begun == [0, 1]


def test_a_guard_that_raises_ends_the_wait_for_what_may_never_come() -> None:
    def refuse() -> None:
        raise LookupError("in vain")

    with pytest.raises(LookupError, match="in vain"):
        abreast.guarded(threading.Event().wait, refuse, stop=nothing)


def test_what_comes_is_taken_and_its_guard_is_dismissed() -> None:
    over = threading.Event()

    def guard() -> None:
        assert over.wait(30)

    assert abreast.guarded(lambda: 7, guard, stop=over.set) == 7
    assert over.is_set()
    assert abreast.guarded(lambda: 8, nothing, stop=nothing) == 8
    with pytest.raises(ZeroDivisionError):
        abreast.guarded(lambda: 1 / 0, nothing, stop=nothing)


def test_what_does_not_hear_that_it_is_over_does_not_hold_up_the_end() -> None:
    script = """
import threading
from mlfunc import abreast

def work(number):
    if number:
        raise SystemExit(7)
    threading.Event().wait()

abreast.each(work, range(2), at_once=2, stop=lambda: None)
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)

    assert ended.returncode == 7
