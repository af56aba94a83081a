"""The one SQLite file of a supervisor, opened by each part that keeps something in it.

What is in it cannot be found out again: a file that is broken or of a later mlfunc is left as it
is, and what to do with it is said.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Parts write one after the other, each for milliseconds.
_WAIT_SECONDS = 20
_PARTS = "CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID"
# Of SQLite's result codes, without what is extended.
_FULL, _READ_ONLY, _CANNOT_OPEN, _BUSY, _IO = 13, 8, 14, 5, 10
_BROKEN = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB


@dataclass(frozen=True)
class Schema:
    """The tables of a part: `steps[n]` is the SQL that makes version n + 1 out of version n."""

    part: str
    steps: tuple[str, ...]


class Database:
    """An open connection, for one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What one statement gives, or changes: outside of `transaction`, it is one by itself.

        Raises:
            MlfuncError: the file is broken, or cannot be written.

        """
        with translated(self.path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done within is kept for good when this ends, or nothing of it.

        Raises:
            MlfuncError: the file is broken, or cannot be written.

        """
        with translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.rollback()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def open_(path: Path, *schemas: Schema) -> Database:
    """The file, made if need be, with the tables of these parts as this version knows them.

    Raises:
        MlfuncError: it is broken, of a later mlfunc, or cannot be written; it stays as it is.

    """
    with translated(path):
        _make_private(path)
        # Autocommit: where a transaction begins is said. A part may have a thread of its own.
        connection = sqlite3.connect(
            path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path, schemas)
        except BaseException:
            connection.close()
            raise
    return Database(path, connection)


def _make_private(path: Path) -> None:
    """SQLite gives what it puts next to the file the mode of the file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path, schemas: Iterable[Schema]) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # What is acknowledged outlives a power failure, not just a kill.
    connection.execute("PRAGMA synchronous = FULL")
    for schema in schemas:
        _migrate(connection, path, schema)


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    wanted = len(schema.steps)
    if _version(connection, schema.part) == wanted:
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_PARTS)
    version = _version(connection, schema.part)  # another may have been faster
    if version > wanted:
        raise _of_later(path, schema.part)
    for step in schema.steps[version:]:
        _run(connection, step)
    connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?)", (schema.part, wanted))
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, part: str) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'parts'").fetchone():
        return 0
    found = connection.execute("SELECT version FROM parts WHERE name = ?", (part,)).fetchone()
    return found[0] if found else 0


def _run(connection: sqlite3.Connection, script: str) -> None:
    """`executescript` would commit what has begun."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What goes wrong with the file within, as an error for people."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _failure(path, error) from error
    except OSError as error:
        message = f"{path} cannot be opened: {error.strerror}"
        raise MlfuncError(message, "MLFUNC_HOME names another folder") from error


def _failure(path: Path, error: sqlite3.DatabaseError) -> MlfuncError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BROKEN:
        return _broken(path, error)
    said, hint = {
        _FULL: ("there is no space left", "make some: df shows where; nothing was lost"),
        _IO: (f"the disk fails: {error}", "is it full? df; is it there? mount"),
        _READ_ONLY: ("it may not be written", f"ls -l {path} shows whose it is"),
        _CANNOT_OPEN: (f"it cannot be opened: {error}", f"ls -l {path} shows whose it is"),
        _BUSY: (
            "another process writes it",
            "does a second supervisor run? mlfunc platform status",
        ),
    }.get(code, (str(error), "mlfunc platform status"))
    return MlfuncError(f"the state of the local platform, {path}: {said}", hint)


def _broken(path: Path, error: Exception) -> MlfuncError:
    """Its journal goes with it: SQLite would play it into the new one."""
    aside = path.parent / "broken"
    return MlfuncError(
        f"the state of the local platform is broken: {path}: {error}",
        f"move it aside, and deploy anew: mkdir {aside} && mv {path}* {aside}/",
    )


def _of_later(path: Path, part: str) -> MlfuncError:
    message = f"the state of the local platform, {path}, was written by a later mlfunc ({part})"
    return MlfuncError(message, "update mlfunc; it is left as it is")
