"""Pauses before what failed starts again, and before more of what is written is read."""

from __future__ import annotations

import pytest
from mlfunc.supervisor.fleet.patience import Backoff, Meter


def test_pauses_double_up_to_five_minutes() -> None:
    backoff, pauses = Backoff(), []
    for _ in range(11):
        backoff = backoff.after(0.0)
        pauses.append(backoff.pause)

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_they_begin_anew_for_what_has_run_well() -> None:
    assert Backoff(2.0).after(10.0) == Backoff(1.0)
    assert Backoff(64.0).after(128.0) == Backoff(1.0)


@pytest.mark.parametrize(("pause", "served"), [(2.0, 9.9), (64.0, 127.0)])
def test_what_serves_but_shortly_waits_longer_each_time(pause: float, served: float) -> None:
    assert Backoff(pause).after(served).pause == 2 * pause


def test_a_burst_is_read_at_once_and_a_flood_is_not() -> None:
    meter = Meter(now=0.0)

    assert meter.spend(b"x" * 3_900_000, now=0.0) == 0.0
    pause = meter.spend(b"x" * 1_000_000, now=0.0)
    assert 0.0 < pause < 0.1
    assert meter.spend(b"x", now=pause + 1.0) == 0.0


def test_a_line_costs_more_than_its_bytes() -> None:
    assert Meter(now=0.0).spend(b"\n" * 100_000, now=0.0) > 0.0
    assert Meter(now=0.0).spend(b"x" * 100_000, now=0.0) == 0.0
