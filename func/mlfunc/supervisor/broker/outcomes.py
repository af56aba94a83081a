"""How events ended, counted for each way by which they go, as long as that is there.

The events themselves a busy broker forgets within minutes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlfunc.supervisor.broker.subscriptions import Way

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from mlfunc.supervisor.broker.journal import Attempt, Delivery

TABLE = """
CREATE TABLE broker_outcomes (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,    -- delivered as dead letters
    lost INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,  -- tries
    failure BLOB,                       -- JSON: of the last of these
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
"""
End = Literal["delivered", "dead", "lost"]

_COUNTS = ("delivered", "dead", "lost", "failed")


def ended(db: sqlite3.Connection, way: Way, end: End) -> None:
    """A delivery is done."""
    db.execute(
        f"INSERT INTO broker_outcomes (kind, namespace, name, {end}) VALUES (?, ?, ?, 1)"  # noqa: S608
        f" ON CONFLICT DO UPDATE SET {end} = {end} + 1",
        way,
    )


def failed(db: sqlite3.Connection, delivery: Delivery, attempt: Attempt) -> None:
    """A try was in vain, the last one or not."""
    failure = {
        "at": time.time(),
        "event": delivery.event.attributes["id"],
        "type": delivery.event.attributes["type"],
        "phase": delivery.phase,
        "status": attempt.status,
        "problem": attempt.problem,
    }
    db.execute(
        "INSERT INTO broker_outcomes (kind, namespace, name, failed, failure)"
        " VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT DO UPDATE SET failed = failed + 1, failure = excluded.failure",
        (*delivery.way, msgspec.json.encode(failure)),
    )


def forget(db: sqlite3.Connection, way: Way) -> None:
    """There is no such way any more."""
    db.execute("DELETE FROM broker_outcomes WHERE kind = ? AND namespace = ? AND name = ?", way)


def shown(
    db: sqlite3.Connection, namespace: str, waiting: Mapping[Way, int]
) -> list[dict[str, Any]]:
    """Of each way in a namespace by which an event has gone, or waits."""
    rows = db.execute(
        f"SELECT kind, namespace, name, failure, {', '.join(_COUNTS)}"  # noqa: S608
        " FROM broker_outcomes WHERE namespace = ?",
        (namespace,),
    )
    counted = {Way(*row[:3]): row[3:] for row in rows}
    ways = sorted({*counted, *(way for way in waiting if way.namespace == namespace)})
    none = (None, *(0 for _ in _COUNTS))
    return [_shown(way, counted.get(way, none), waiting.get(way, 0)) for way in ways]


def _shown(way: Way, row: tuple[Any, ...], waiting: int) -> dict[str, Any]:
    failure, *counts = row
    return {
        "kind": way.kind,
        "name": way.name,
        **dict(zip(_COUNTS, counts, strict=True)),
        "waiting": waiting,
        "failure": msgspec.json.decode(failure) if failure else None,
    }
