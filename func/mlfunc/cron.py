"""Schedules as Knative's PingSource takes them: five fields, or a word such as @daily.

The rules are those of robfig/cron, which Knative parses them with. They are not all that cron
tools know: there are no seconds, Sunday is 0 only, and L, W, # and @every are refused.
"""

from __future__ import annotations

import datetime
import itertools
import re
import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_YEARS = 5  # after so many, a schedule such as 30 February never comes
_RANGE = re.compile(r"(\*|\?|\w+)(?:-(\w+))?(?:/(\d+))?", re.ASCII)


@dataclass(frozen=True)
class Schedule:
    """The minutes, hours, days and months in which it comes, in a zone's time."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    any_day: bool  # the day of the month says nothing
    any_weekday: bool
    zone: datetime.tzinfo

    def after(self, moment: float) -> float | None:
        """When it comes next, in seconds since 1970; None: never.

        A time that a change of the clock leaves out does not come; one that is twice comes twice.
        """
        start = datetime.datetime.fromtimestamp(moment, self.zone)
        for offset in range(366 * _YEARS + 2):
            day = start.date() + datetime.timedelta(days=offset)
            if self._comes_on(day):
                found = [each for each in self._moments(day) if each > moment]
                if found:
                    return min(found)
        return None

    def _comes_on(self, day: datetime.date) -> bool:
        """Of two kinds of days that are both given, one is enough, as in every cron."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        either = in_month or in_week
        both = in_month and in_week
        return day.month in self.months and (both if self.any_day or self.any_weekday else either)

    def _moments(self, day: datetime.date) -> Iterator[float]:
        for hour, minute, fold in itertools.product(self.hours, self.minutes, (0, 1)):
            time = datetime.time(hour, minute, fold=fold)
            moment = datetime.datetime.combine(day, time, self.zone).timestamp()
            there = datetime.datetime.fromtimestamp(moment, self.zone)
            if (there.hour, there.minute) == (hour, minute):
                yield moment


def parse(text: str, timezone: str | None = None) -> Schedule:
    """A schedule; without a zone it is in UTC, as Knative's adapter has it.

    Raises:
        ValueError: it is none, in words.

    """
    zone = _zone(timezone)
    if text.startswith("@"):
        text = _descriptor(text)
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(_wrong_number(text, len(parts)))
    sets = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = sets
    any_day, any_weekday = (_is_any(parts[index]) for index in (2, 4))
    return Schedule(minutes, hours, days, months, weekdays, any_day, any_weekday, zone)


def problem(text: str, timezone: str | None = None) -> str | None:
    """What is wrong with a schedule, if anything is."""
    try:
        found = parse(text, timezone)
    except ValueError as error:
        return str(error)
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return None if found.after(now) else f"{text!r} never comes"


def _zone(name: str | None) -> datetime.tzinfo:
    if not name:
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}, such as Europe/Berlin") from None


def _descriptor(text: str) -> str:
    if text in _DESCRIPTORS:
        return _DESCRIPTORS[text]
    if text.startswith("@every"):
        raise ValueError("Knative takes no @every: write */5 * * * * for every five minutes")
    raise ValueError(f"there is no {text}; there are {', '.join(_DESCRIPTORS)}")


def _wrong_number(text: str, number: int) -> str:
    if text.startswith(("TZ=", "CRON_TZ=")):
        return "the zone has a key of its own: timezone"
    if number == len(_FIELDS) + 1:
        return f"{text!r} has six fields: Knative's schedules have no seconds"
    names = ", ".join(name for name, *_ in _FIELDS)
    return f"{text!r} has {number} fields; five are expected: {names}"


def _field(text: str, name: str, low: int, high: int, words: dict[str, int]) -> frozenset[int]:
    try:
        return frozenset().union(*(_range(each, low, high, words) for each in text.split(",")))
    except ValueError as error:
        raise ValueError(f"{name} {text!r}: {error}") from None


def _range(text: str, low: int, high: int, words: dict[str, int]) -> frozenset[int]:
    found = _RANGE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no number, range or step, such as 5, 1-5, */10")
    first, last, step = found.groups()
    if first in ("*", "?"):
        if last:
            raise ValueError(f"{text!r} is no range")
        begin, end = low, high
    else:
        begin = _number(first, low, high, words)
        # A step without an end goes on to the last: 5/15 is 5, 20, 35, 50.
        end = _number(last, low, high, words) if last else (high if step else begin)
    if begin > end:
        raise ValueError(f"{text!r} ends before it begins")
    if step == "0" or (step and not int(step)):
        raise ValueError(f"{text!r} has a step of 0")
    return frozenset(range(begin, end + 1, int(step or 1)))


def _number(text: str, low: int, high: int, words: dict[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number")
    if not low <= int(text) <= high:
        raise ValueError(f"{text} is not from {low} to {high}")
    return int(text)


def _is_any(text: str) -> bool:
    """Every second day is not any day."""
    return any(re.fullmatch(r"[*?](/0*1)?", each) for each in text.split(","))
