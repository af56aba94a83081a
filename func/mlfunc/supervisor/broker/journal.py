"""Events and their deliveries, as SQLite keeps them: each function here is part of a transaction.

An event is kept with the deliveries that are due for it, or not at all; a delivery ends with the
event that was its reply, or goes on. So a process that ends between two of them loses none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlfunc.supervisor.broker import outcomes
from mlfunc.supervisor.broker.cloudevents import Event
from mlfunc.supervisor.broker.subscriptions import Way
from mlfunc.supervisor.state.database import Schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

_TABLES = """
CREATE TABLE broker_events (
    seq INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    broker TEXT NOT NULL,         -- empty: of a schedule
    attributes BLOB NOT NULL,     -- JSON
    data BLOB,                    -- of one that is done only the beginning
    size INTEGER NOT NULL,
    headers BLOB NOT NULL,        -- JSON: what is passed on of those it came with
    ttl INTEGER NOT NULL,
    arrived REAL NOT NULL,
    cause INTEGER,                -- the delivery that it is the reply to, or the dead letter of
    open INTEGER NOT NULL         -- deliveries that are not done
);
CREATE INDEX broker_events_done ON broker_events (seq) WHERE open = 0;
CREATE INDEX broker_events_of ON broker_events (cause) WHERE cause IS NOT NULL;
CREATE TABLE broker_deliveries (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL REFERENCES broker_events ON DELETE CASCADE,
    kind TEXT NOT NULL,           -- Trigger, PingSource
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,          -- open, delivered, dead, lost, dropped
    phase TEXT NOT NULL,          -- to whom: subscriber, dead letter
    failures INTEGER NOT NULL,    -- of this phase
    due REAL NOT NULL,
    status INTEGER,               -- of the last answer
    problem TEXT NOT NULL,
    error BLOB,                   -- JSON: what a dead letter says of the failure
    seconds REAL,                 -- of the last try
    ended REAL
);
CREATE INDEX broker_deliveries_due
    ON broker_deliveries (kind, namespace, name, due) WHERE state = 'open';
CREATE INDEX broker_deliveries_of ON broker_deliveries (event);
CREATE TABLE broker_schedules (
    namespace TEXT NOT NULL, name TEXT NOT NULL, fired REAL NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;
"""
SCHEMA = Schema("broker", (_TABLES, outcomes.TABLE))
ROUNDS = 255  # brokers that an event and its replies go through at most, as in Knative

Phase = Literal["subscriber", "dead letter"]

_BEGAN = time.time() - time.monotonic()
_DROPPED_AT_ONCE = 500  # others wait for the file meanwhile: milliseconds
_BEGINNING = 1024  # bytes of the data of an event that is done, to be looked at


@dataclass(frozen=True)
class Arrival:
    """An event that has come to a broker, and who gets it."""

    namespace: str
    broker: str
    event: Event
    ways: tuple[Way, ...]
    ttl: int = ROUNDS
    headers: dict[str, str] = field(default_factory=dict)
    cause: int | None = None


@dataclass(frozen=True)
class Delivery:
    """What is due: an event, on its way."""

    id: int
    seq: int  # of its event
    way: Way
    broker: str
    event: Event
    ttl: int
    headers: dict[str, str]
    phase: Phase = "subscriber"
    failures: int = 0
    error: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """What became of one try."""

    status: int
    problem: str = ""
    seconds: float = 0.0


def now() -> float:
    """What is due is due by this clock: seconds since 1970, as the machine had it at the start.

    When somebody sets that meanwhile, no retry comes earlier or hours later.
    """
    return _BEGAN + time.monotonic()


def accept(db: sqlite3.Connection, arrivals: Iterable[Arrival]) -> list[Delivery]:
    """Keep events; what is due for them."""
    return [each for arrival in arrivals for each in _accept(db, arrival)]


def end(
    db: sqlite3.Connection,
    delivery: Delivery,
    state: outcomes.End,
    attempt: Attempt,
    follows: Iterable[Arrival] = (),
) -> list[Delivery]:
    """A delivery is done; what is due for the events that follow from it."""
    done = db.execute(
        "UPDATE broker_deliveries SET state = ?, status = ?, problem = ?, seconds = ?, ended = ?"
        " WHERE id = ? AND state = 'open'",
        (state, attempt.status, attempt.problem, attempt.seconds, time.time(), delivery.id),
    )
    if not done.rowcount:  # its Trigger was deleted meanwhile
        return []
    outcomes.ended(db, delivery.way, state)
    if state == "lost":
        outcomes.failed(db, delivery, attempt)
    _close(db, delivery.seq)
    return accept(db, follows)


def put_off(db: sqlite3.Connection, delivery: Delivery, attempt: Attempt, due: float) -> None:
    """It is tried again, then."""
    done = db.execute(
        "UPDATE broker_deliveries SET failures = failures + 1, due = ?, status = ?, problem = ?,"
        " seconds = ? WHERE id = ? AND state = 'open'",
        (due, attempt.status, attempt.problem, attempt.seconds, delivery.id),
    )
    if done.rowcount:
        outcomes.failed(db, delivery, attempt)


def give_up(
    db: sqlite3.Connection, delivery: Delivery, attempt: Attempt, error: dict[str, str]
) -> None:
    """From now on it goes to the dead letters."""
    done = db.execute(
        "UPDATE broker_deliveries SET phase = 'dead letter', failures = 0, due = ?, status = ?,"
        " problem = ?, seconds = ?, error = ? WHERE id = ? AND state = 'open'",
        (
            now(),
            attempt.status,
            attempt.problem,
            attempt.seconds,
            msgspec.json.encode(error),
            delivery.id,
        ),
    )
    if done.rowcount:
        outcomes.failed(db, delivery, attempt)


def newest(db: sqlite3.Connection) -> int:
    """The last delivery there is."""
    row = db.execute("SELECT max(id) FROM broker_deliveries").fetchone()
    return row[0] or 0


def drop(db: sqlite3.Connection, way: Way, last: int, problem: str) -> int:
    """Up to that one, no more is delivered that way: so many are done with, nothing if all are."""
    found = db.execute(
        "SELECT id, event FROM broker_deliveries WHERE kind = ? AND namespace = ? AND name = ?"
        " AND state = 'open' AND id <= ? LIMIT ?",
        (*way, last, _DROPPED_AT_ONCE),
    ).fetchall()
    for number, seq in found:
        db.execute(
            "UPDATE broker_deliveries SET state = 'dropped', problem = ?, ended = ? WHERE id = ?",
            (problem, time.time(), number),
        )
        _close(db, seq)
    return len(found)


@dataclass(frozen=True)
class Page:
    """What is to be delivered now, the longest due first."""

    deliveries: list[Delivery]
    has_more: bool
    later: float | None  # when the next of those is that are not due yet


def due(db: sqlite3.Connection, way: Way, held: Collection[int], rows: int, size: int) -> Page:
    """So many that are not held already, or so many bytes and what goes beyond with the last."""
    until, found, total = now(), list[Delivery](), 0
    for row in db.execute(
        "SELECT d.id, d.event, e.broker, e.attributes, e.data, e.ttl, e.headers, d.phase,"
        " d.failures, d.error FROM broker_deliveries d JOIN broker_events e ON e.seq = d.event"
        " WHERE d.kind = ? AND d.namespace = ? AND d.name = ? AND d.state = 'open' AND d.due <= ?"
        " ORDER BY d.due",
        (*way, until),
    ):
        if row[0] in held:
            continue
        if len(found) == rows or total >= size:
            return Page(found, has_more=True, later=None)
        found.append(_delivery(way, row))
        total += len(row[4] or b"")
    return Page(found, has_more=False, later=_later(db, way, until))


def ways(db: sqlite3.Connection) -> list[Way]:
    """Those by which something is to be delivered."""
    return [
        Way(*row)
        for row in db.execute(
            "SELECT DISTINCT kind, namespace, name FROM broker_deliveries WHERE state = 'open'"
        )
    ]


def waiting(db: sqlite3.Connection) -> dict[Way, int]:
    """How much is to be delivered, by each."""
    rows = db.execute(
        "SELECT kind, namespace, name, count(*) FROM broker_deliveries WHERE state = 'open'"
        " GROUP BY kind, namespace, name"
    )
    return {Way(*row[:3]): row[3] for row in rows}


def prune(db: sqlite3.Connection, keep: int) -> None:
    """Forget all but the last events, of those that are done."""
    db.execute(
        "DELETE FROM broker_events WHERE open = 0"
        " AND seq <= (SELECT max(seq) FROM broker_events) - ?",
        (keep,),
    )


def fire(db: sqlite3.Connection, at: float, arrival: Arrival) -> list[Delivery]:
    """Keep the event of a schedule, unless it was there already."""
    name = arrival.ways[0].name
    last = fired(db, arrival.namespace, name)
    if last is not None and last >= at:
        return []
    db.execute(
        "INSERT OR REPLACE INTO broker_schedules VALUES (?, ?, ?)", (arrival.namespace, name, at)
    )
    return accept(db, [arrival])


def fired(db: sqlite3.Connection, namespace: str, name: str) -> float | None:
    """When a schedule last came."""
    row = db.execute(
        "SELECT fired FROM broker_schedules WHERE namespace = ? AND name = ?", (namespace, name)
    ).fetchone()
    return None if row is None else row[0]


def forget(db: sqlite3.Connection, namespace: str, name: str) -> None:
    """There is no such schedule any more."""
    db.execute("DELETE FROM broker_schedules WHERE namespace = ? AND name = ?", (namespace, name))


def recent(db: sqlite3.Connection, namespace: str | None, limit: int) -> list[dict[str, Any]]:
    """The last events with what became of them, oldest first."""
    rows = db.execute(
        "SELECT seq, namespace, broker, attributes, substr(data, 1, ?), size, arrived, cause"
        " FROM broker_events WHERE ?2 IS NULL OR namespace = ?2 ORDER BY seq DESC LIMIT ?3",
        (_BEGINNING, namespace, limit),
    ).fetchall()
    return [_shown(row, list(_deliveries(db, row[0]))) for row in reversed(rows)]


def _accept(db: sqlite3.Connection, arrival: Arrival) -> Iterator[Delivery]:
    event = arrival.event
    seq = db.execute(
        "INSERT INTO broker_events (namespace, broker, attributes, data, size, headers, ttl,"
        " arrived, cause, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            arrival.namespace,
            arrival.broker,
            msgspec.json.encode(event.attributes),
            event.data,
            len(event.data or b""),
            msgspec.json.encode(arrival.headers),
            arrival.ttl,
            time.time(),
            arrival.cause,
            len(arrival.ways),
        ),
    ).lastrowid
    for way in arrival.ways:
        number = db.execute(
            "INSERT INTO broker_deliveries (event, kind, namespace, name, state, phase, failures,"
            " due, problem) VALUES (?, ?, ?, ?, 'open', 'subscriber', 0, ?, '')",
            (seq, *way, now()),
        ).lastrowid
        yield Delivery(
            number or 0, seq or 0, way, arrival.broker, event, arrival.ttl, arrival.headers
        )


def _later(db: sqlite3.Connection, way: Way, until: float) -> float | None:
    row = db.execute(
        "SELECT min(due) FROM broker_deliveries"
        " WHERE kind = ? AND namespace = ? AND name = ? AND state = 'open' AND due > ?",
        (*way, until),
    ).fetchone()
    return None if row[0] is None else float(row[0])


def _close(db: sqlite3.Connection, seq: int) -> None:
    db.execute(
        "UPDATE broker_events SET open = open - 1,"
        " data = CASE WHEN open = 1 AND size > ?1 THEN substr(data, 1, ?1) ELSE data END"
        " WHERE seq = ?2",
        (_BEGINNING, seq),
    )


def _delivery(way: Way, row: tuple[Any, ...]) -> Delivery:
    number, seq, broker, attributes, data, ttl, headers, phase, failures, error = row
    return Delivery(
        id=number,
        seq=seq,
        way=way,
        broker=broker,
        event=Event(msgspec.json.decode(attributes), data),
        ttl=ttl,
        headers=msgspec.json.decode(headers),
        phase=phase,
        failures=failures,
        error=msgspec.json.decode(error) if error else {},
    )


def _deliveries(db: sqlite3.Connection, seq: int) -> Iterator[dict[str, Any]]:
    names = ("id", "kind", "name", "state", "phase", "failures", "status", "problem", "seconds")
    columns = ", ".join(names)
    for row in db.execute(
        f"SELECT {columns}, ended FROM broker_deliveries WHERE event = ? ORDER BY id",  # noqa: S608
        (seq,),
    ):
        yield {**dict(zip((*names, "ended"), row, strict=True)), "replies": _replies(db, row[0])}


def _replies(db: sqlite3.Connection, delivery: int) -> list[int]:
    found = db.execute("SELECT seq FROM broker_events WHERE cause = ?", (delivery,))
    return [row[0] for row in found]


def _shown(row: tuple[Any, ...], deliveries: list[dict[str, Any]]) -> dict[str, Any]:
    seq, namespace, broker, attributes, data, size, arrived, cause = row
    return {
        "seq": seq,
        "namespace": namespace,
        "broker": broker,
        "event": msgspec.json.decode(attributes),
        "data": (data or b"").decode(errors="replace"),
        "size": size,
        "arrived": arrived,
        "cause": cause,
        "deliveries": deliveries,
    }
