"""Objects in the file: those that outlive the supervisor, and how far their versions went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlfunc.cluster import kinds
from mlfunc.supervisor.state import database

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlfunc.cluster.kinds import Kind

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
# Versions are taken so many at once: most changes are of what is not kept.
_TAKEN_AT_ONCE = 1000


class Kept:
    """What is kept. Each change is for good when its call returns."""

    def __init__(self, path: Path) -> None:
        self._database = database.open_(path, SCHEMA)
        try:
            ((self._taken,),) = self._database.rows("SELECT taken FROM versions")
        except BaseException:
            self._database.close()
            raise
        self.first_version = self._taken  # no version before had a higher one

    def objects(self) -> dict[At, Object]:
        """All of them."""
        rows = self._database.rows("SELECT api, plural, namespace, name, object FROM objects")
        with database.translated(self._database.path):
            return {
                (_KINDS[api, plural], namespace, name): msgspec.json.decode(found)
                for api, plural, namespace, name, found in rows
                if (api, plural) in _KINDS
            }

    def write(self, at: At, found: Object, version: int) -> None:
        """Keep one, if it is of a kind that is; `version` is that of the change."""
        if at[0] in _PASSING:
            self._take(version)
            return
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                (*_key(at), msgspec.json.encode(found)),
            )
            connection.execute("UPDATE versions SET taken = max(taken, ?)", (version,))
        self._taken = max(self._taken, version)

    def remove(self, gone: Iterable[At], version: int) -> None:
        """Keep these no more; `version` is that of the last of them."""
        keys = [_key(at) for at in gone if at[0] not in _PASSING]
        if not keys:
            self._take(version)
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM objects WHERE (api, plural, namespace, name) = (?, ?, ?, ?)", keys
            )
            connection.execute("UPDATE versions SET taken = max(taken, ?)", (version,))
        self._taken = max(self._taken, version)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _take(self, version: int) -> None:
        if version > self._taken:
            taken = version + _TAKEN_AT_ONCE
            self._database.rows("UPDATE versions SET taken = ?", taken)
            self._taken = taken


def _key(at: At) -> tuple[str, str, str, str]:
    kind, namespace, name = at
    return kind.api_version, kind.plural, namespace, name
