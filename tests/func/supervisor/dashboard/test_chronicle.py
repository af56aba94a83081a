"""Starts and crashes are remembered when their instance is gone."""

from __future__ import annotations

from mlfunc.supervisor.dashboard.chronicle import Chronicle
from mlfunc.supervisor.parts import Key

from tests.rig.platformpage import STARTUP, instance

HELLO = Key("default", "hello-00001")


def test_a_start_is_as_long_as_from_its_creation() -> None:
    chronicle = Chronicle()
    chronicle.tell(instance("a", "hello-00001", created=100.0, since=101.5))

    (start,) = chronicle.starts(HELLO)
    assert (start.instance, start.at, start.seconds, start.phases) == ("a", 101.5, 1.5, STARTUP)


def test_one_that_is_started_again_counts_what_its_runtime_measured() -> None:
    chronicle = Chronicle()
    chronicle.tell(instance("a", "hello-00001", created=100.0, since=500.0, restarts=2))

    assert chronicle.starts(HELLO)[0].seconds == STARTUP["total"]


def test_the_same_told_twice_is_one_start() -> None:
    chronicle = Chronicle()
    for _ in range(2):
        chronicle.tell(instance("a", "hello-00001", created=100.0, since=101.5))

    assert len(chronicle.starts(HELLO)) == 1


def test_a_crash_has_its_traceback_and_the_newest_is_first() -> None:
    chronicle = Chronicle()
    for at in range(30):
        chronicle.tell(
            instance("a", "hello-00001", "backoff", since=at, exit_code=1, failure=f"error {at}")
        )

    assert [crash.failure for crash in chronicle.crashes(HELLO)][:2] == ["error 29", "error 28"]
    assert len(chronicle.crashes(HELLO)) == 8


def test_those_of_revisions_that_were_deleted_go() -> None:
    chronicle = Chronicle()
    chronicle.tell(instance("a", "hello-00001"))
    chronicle.tell(instance("b", "other-00001"))
    chronicle.keep([HELLO])

    assert len(chronicle.starts(HELLO)) == 1
    assert chronicle.starts(Key("default", "other-00001")) == ()
