"""Conditions: what they sum up to, and since when they are so."""

from __future__ import annotations

from mlfunc.supervisor.control import conditions
from mlfunc.supervisor.control.conditions import Condition

A, B = Condition("A", "True"), Condition("B", "True")
UNKNOWN = Condition("U", "Unknown", "Deploying", "it is on its way")
FALSE = Condition("F", "False", "ExitCode1", "it ended")


def test_all_is_well_when_all_that_counts_is() -> None:
    assert conditions.summed([A, B]) == Condition("Ready", "True")
    assert conditions.summed([A, Condition("C", "False", info=True)]) == Condition("Ready", "True")


def test_what_is_false_says_more_than_what_is_unknown() -> None:
    assert conditions.summed([A, UNKNOWN]) == Condition(
        "Ready", "Unknown", "Deploying", "it is on its way"
    )
    assert conditions.summed([UNKNOWN, FALSE]) == Condition(
        "Ready", "False", "ExitCode1", "it ended"
    )


def test_the_time_is_that_of_the_last_change() -> None:
    first = conditions.written([UNKNOWN, A], None, 1000)
    same = conditions.written([A, UNKNOWN], first, 2000)
    other = conditions.written([A, Condition("U", "True")], same, 3000)

    assert same == first
    assert [each["lastTransitionTime"] for each in other] == [
        "1970-01-01T00:16:40Z",
        "1970-01-01T00:50:00Z",
    ]
