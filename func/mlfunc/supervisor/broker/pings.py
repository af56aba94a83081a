"""PingSources, fired at their times. What no supervisor was there for is not made up for."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc import cron
from mlfunc.supervisor.broker.cloudevents import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlfunc.cron import Schedule

Object = dict[str, Any]

_TYPE = "dev.knative.sources.ping"
_LONGEST_SLEEP = 30.0  # the clock of the wall may be set, and a machine may sleep
_LATE = 10.0  # seconds after which it is too late, and over which a restart does not show
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Next:
    """When a source comes next, by the schedule that it had then."""

    text: tuple[str, str]
    schedule: Schedule
    at: float | None


class Pings:
    """`fire` is called with each source at its time, and with the time."""

    def __init__(
        self,
        sources: Callable[[], Iterable[Object]],
        fire: Callable[[Object, float], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._fire = fire
        self._clock = clock
        self._next: dict[str, _Next] = {}  # by the uid of the source
        self._woken = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """What came due just before counts: whoever fires knows what was fired already."""
        self._woken = self._clock()
        self._look(self._woken - _LATE)

    def look(self) -> None:
        """Sources have changed."""
        self._look(self._clock())

    def close(self) -> None:
        """Fire no more."""
        if self._timer:
            self._timer.cancel()

    def _look(self, since: float) -> None:
        there = {each["metadata"]["uid"]: each for each in self._sources()}
        known = {uid: self._known(uid, each, since) for uid, each in there.items()}
        self._next = {uid: each for uid, each in known.items() if each is not None}
        self._wait()

    def _known(self, uid: str, source: Object, since: float) -> _Next | None:
        text = (source["spec"].get("schedule", ""), source["spec"].get("timezone") or "")
        before = self._next.get(uid)
        if before is not None and before.text == text:
            return before
        try:
            schedule = cron.parse(*text)
        except ValueError:
            return None  # its status says so
        return _Next(text, schedule, schedule.after(max(since, _made(source))))

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        due = [each.at for each in self._next.values() if each.at is not None]
        if due:
            seconds = min(max(min(due) - self._clock(), 0.0), _LONGEST_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)

    def _wake(self) -> None:
        now = self._clock()
        if now < self._woken:  # it was set back: what comes next is another time
            self._next.clear()
            self._look(now)
        self._woken = now
        for source in self._sources():
            uid = source["metadata"]["uid"]
            due = self._next.get(uid)
            if due is not None and due.at is not None and due.at <= now:
                self._come(source, due.at, now)
                self._next[uid] = _Next(due.text, due.schedule, due.schedule.after(now))
        self._wait()

    def _come(self, source: Object, at: float, now: float) -> None:
        if now - at <= _LATE:
            self._fire(source, at)
        else:
            name = source["metadata"]["name"]
            _log.warning("PingSource %s: %s has passed unseen, and is left out", name, _iso(at))


def event(source: Object, at: float) -> Event:
    """The event of a source at a time, as Knative sends it; the same again has the same id."""
    meta, spec = source["metadata"], source["spec"]
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid5(uuid.UUID(meta["uid"]), _iso(at))),
        "source": f"/apis/v1/namespaces/{meta['namespace']}/pingsources/{meta['name']}",
        "type": _TYPE,
        "time": _iso(at),
    }
    data = spec.get("data") or ""
    if spec.get("contentType") and data:
        attributes["datacontenttype"] = spec["contentType"]
    return Event(attributes, data.encode() or None)


def _made(source: Object) -> float:
    return datetime.datetime.fromisoformat(source["metadata"]["creationTimestamp"]).timestamp()


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
