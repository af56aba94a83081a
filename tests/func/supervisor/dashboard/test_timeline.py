"""What was there over the last half hour."""

from __future__ import annotations

from mlfunc.supervisor.dashboard.timeline import KEPT_SECONDS, Sample, Timeline
from mlfunc.supervisor.parts import Key

HELLO = Key("default", "hello-00001")


def test_what_stays_the_same_takes_no_room() -> None:
    timeline = Timeline()
    for second in range(1000):
        timeline.record(HELLO, second, Sample(ready=1))

    assert timeline.all() == {HELLO: ((0, Sample(ready=1)),)}


def test_nothing_is_not_the_first_sample() -> None:
    timeline = Timeline()
    timeline.record(HELLO, 0, Sample())

    assert timeline.all() == {}


def test_the_last_of_the_old_samples_stays_for_it_holds_on() -> None:
    timeline = Timeline()
    for at, ready in ((0, 1), (10, 3), (5000, 0)):
        timeline.record(HELLO, at, Sample(ready=ready))
    timeline.prune(5000 + 60)

    assert [at for at, _ in timeline.all()[HELLO]] == [10, 5000]


def test_a_revision_that_has_long_been_at_zero_is_forgotten() -> None:
    timeline = Timeline()
    timeline.record(HELLO, 0, Sample(ready=1))
    timeline.record(HELLO, 10, Sample())
    timeline.prune(10 + KEPT_SECONDS + 1)

    assert timeline.all() == {}


def test_a_revision_that_always_has_one_is_not() -> None:
    timeline = Timeline()
    timeline.record(HELLO, 0, Sample(ready=1))
    timeline.prune(10 * KEPT_SECONDS)

    assert timeline.all() == {HELLO: ((0, Sample(ready=1)),)}


def test_its_size_is_bounded_whatever_happens() -> None:
    timeline = Timeline()
    for at in range(100_000):
        timeline.record(HELLO, at / 100, Sample(in_flight=at % 7))

    assert len(timeline.all()[HELLO]) == 2 * KEPT_SECONDS
