"""Schedules, by the rules of robfig/cron."""

from __future__ import annotations

import datetime

import pytest
from mlfunc import cron


def _next(text: str, since: str, zone: str | None = None, count: int = 1) -> list[str]:
    moment, found = datetime.datetime.fromisoformat(since).timestamp(), []
    schedule = cron.parse(text, zone)
    for _ in range(count):
        after = schedule.after(moment)
        assert after is not None
        moment = after
        shown = datetime.datetime.fromtimestamp(moment, schedule.zone)
        found.append(shown.isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("text", "since", "comes"),
    [
        ("* * * * *", "2026-11-26T10:00:00Z", "2026-11-26T10:01+00:00"),
        ("* * * * *", "2026-11-26T10:00:59.9Z", "2026-11-26T10:01+00:00"),
        ("*/15 * * * *", "2026-11-26T10:46Z", "2026-11-26T11:00+00:00"),
        ("5/20 * * * *", "2026-11-26T10:26Z", "2026-11-26T10:45+00:00"),
        ("0 5 * * mon-fri", "2026-11-27T06:00Z", "2026-11-30T05:00+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00Z", "2028-02-29T00:00+00:00"),
        ("0 0 31 * ?", "2026-11-26T00:00Z", "2026-12-31T00:00+00:00"),
        ("30 8,20 1 JAN *", "2026-11-26T00:00Z", "2027-01-01T08:30+00:00"),
        ("@daily", "2026-11-26T00:00Z", "2026-11-27T00:00+00:00"),
        ("@weekly", "2026-11-26T00:00Z", "2026-11-29T00:00+00:00"),
    ],
)
def test_it_comes_next(text: str, since: str, comes: str) -> None:
    assert _next(text, since) == [comes]


def test_of_days_of_month_and_week_one_is_enough() -> None:
    """26 November 2026 is a Thursday."""
    assert _next("0 0 1 * 5", "2026-11-26T00:00Z", count=2) == [
        "2026-11-27T00:00+00:00",
        "2026-12-01T00:00+00:00",
    ]


def test_an_hour_that_the_clock_leaves_out_is_left_out() -> None:
    assert _next("30 2 * * *", "2026-03-28T12:00Z", "Europe/Berlin") == ["2026-03-30T02:30+02:00"]


def test_minutes_go_on_through_an_hour_that_comes_twice() -> None:
    assert _next("*/30 * * * *", "2026-10-25T00:00Z", "Europe/Berlin", 4) == [
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:00+01:00",
    ]


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("* * * *", None, "has 4 fields; five are expected"),
        ("0 * * * * *", None, "Knative's schedules have no seconds"),
        ("60 * * * *", None, "minute '60': 60 is not from 0 to 59"),
        ("0 0 * * 7", None, "day of the week '7': 7 is not from 0 to 6"),
        ("0 0 L * *", None, "day of the month 'L'"),
        ("0 0 * * 1#2", None, "is no number, range or step"),
        ("5-1 * * * *", None, "ends before it begins"),
        ("*/0 * * * *", None, "has a step of 0"),
        ("@every 5m", None, "Knative takes no @every"),
        ("@dayly", None, "there is no @dayly; there are @yearly"),
        ("0 0 30 2 *", None, "never comes"),
        ("TZ=UTC 0 0 * * *", None, "the zone has a key of its own: timezone"),
        ("0 0 * * *", "Mars/Base", "there is no time zone 'Mars/Base'"),
        ("", None, "has 0 fields"),
    ],
)
def test_what_knative_refuses_is_refused_in_words(text: str, zone: str | None, said: str) -> None:
    found = cron.problem(text, zone)
    assert found is not None
    assert said in found
