"""Objects in the file: those that outlive the supervisor, and how far their versions went.

What somebody was told of is on the disk before that. What the supervisor says itself of what there
is goes there soon: it works that out again at a start. Both are written by a thread, in the order
in which they came about, so that what the file has is what there was at some moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.state import database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.state.committing import Committer

Object = dict[str, Any]
At = tuple["Kind", str, str]  # kind, namespace, name

SCHEMA = database.Schema(
    "objects",
    (
        """
        CREATE TABLE objects (
            api TEXT, plural TEXT, namespace TEXT, name TEXT, object BLOB,
            PRIMARY KEY (api, plural, namespace, name)
        ) WITHOUT ROWID;
        CREATE TABLE versions (id INTEGER PRIMARY KEY CHECK (id = 1), taken INTEGER);
        INSERT INTO versions VALUES (1, 1);
        """,
    ),
)
# What is found out anew at each start.
_PASSING = (kinds.POD, kinds.AUTOSCALER, kinds.EVENT)
_KINDS = {(kind.api_version, kind.plural): kind for kind in kinds.ALL}
# Versions are taken so many at once, and others long before the last of them is told to anybody.
_TAKEN_AT_ONCE = 1_000_000
_AGAIN_SECONDS = 5.0
_log = logging.getLogger(__name__)


def read(path: Path) -> dict[At, Object]:
    """All objects of the file.

    Raises:
        MlfuncError: it is broken.

    """
    with contextlib.closing(database.open_(path, SCHEMA)) as found:
        return _objects(found)


def load(path: Path) -> tuple[dict[At, Object], int]:
    """All objects of the file, made if need be, and a version that none before has reached.

    Raises:
        MlfuncError: it is broken, or cannot be written.

    """
    with contextlib.closing(database.open_(path, SCHEMA)) as found:
        ((taken,),) = found.rows("SELECT taken FROM versions")
        found.rows("UPDATE versions SET taken = ?", taken + _TAKEN_AT_ONCE)
        return _objects(found), taken


class Kept:
    """What is kept, in a file that was loaded; to be made on the loop of its committer."""

    def __init__(self, path: Path, committer: Committer) -> None:
        self.objects, self.first_version = load(path)
        self._taken = self.first_version + _TAKEN_AT_ONCE
        self._committer = committer
        self._loop = asyncio.get_running_loop()
        self._due: dict[At, Object | None] = {}
        self._writing: dict[At, Object | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, changed: Mapping[At, Object | None], version: int) -> None:
        """Keep these so, soon, and None no more; `version` is the last that has been told."""
        self._due.update({at: each for at, each in changed.items() if at[0] not in _PASSING})
        if version > self._taken - _TAKEN_AT_ONCE // 2:
            self._taken += _TAKEN_AT_ONCE
        elif not self._due:
            return
        if self._task is None and self._timer is None:
            self._task = self._loop.create_task(self._write_all())

    async def keep(self, changed: Mapping[At, Object | None]) -> None:
        """Likewise, at once: these, and all that was put before, are on the disk when it returns.

        Raises:
            MlfuncError: they cannot be kept.

        """
        await self._commit({**self._writing, **self._due, **changed})

    async def close(self) -> None:
        """Once all is written that can be."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        if self._due:
            await self._write_all()
        if self._timer is not None:
            self._timer.cancel()

    async def _write_all(self) -> None:
        self._timer = None
        try:
            while True:
                await self._write_due()
                if not self._due:
                    return
        except MlfuncError as error:
            _log.warning("%s; it is tried again", error)
            self._timer = self._loop.call_later(_AGAIN_SECONDS, self._write_again)
        finally:
            self._task = None

    async def _write_due(self) -> None:
        self._writing, self._due = self._due, {}
        try:
            await self._commit(self._writing)
        except MlfuncError:
            self._due = {**self._writing, **self._due}
            raise
        finally:
            self._writing = {}

    def _write_again(self) -> None:
        self._task = self._loop.create_task(self._write_all())

    async def _commit(self, changed: Mapping[At, Object | None]) -> None:
        await self._committer.do(partial(_write, changed, self._taken))


def _write(changed: Mapping[At, Object | None], taken: int, db: sqlite3.Connection) -> None:
    for at, each in changed.items():
        if each is None:
            db.execute(
                "DELETE FROM objects WHERE (api, plural, namespace, name) = (?, ?, ?, ?)", _key(at)
            )
        else:
            row = (*_key(at), msgspec.json.encode(each))
            db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)
    db.execute("UPDATE versions SET taken = max(taken, ?)", (taken,))


def _objects(found: database.Database) -> dict[At, Object]:
    """Those of kinds that this version knows."""
    rows = found.rows("SELECT api, plural, namespace, name, object FROM objects")
    return {
        (_KINDS[api, plural], namespace, name): msgspec.json.decode(each)
        for api, plural, namespace, name, each in rows
        if (api, plural) in _KINDS
    }


def _key(at: At) -> tuple[str, str, str, str]:
    kind, namespace, name = at
    return kind.api_version, kind.plural, namespace, name
