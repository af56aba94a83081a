"""The file in which builds remember: SQLite, made anew where it is broken.

Nothing in it cannot be found out again: what it says is checked, or costs time to be without.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError
from mlfunc.layers import locks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_log = logging.getLogger(__name__)
_VERSION = 1
_WAIT_SECONDS = 60
_SCHEMA = """
CREATE TABLE made (
    key TEXT, media_type TEXT, diff_id TEXT, digest TEXT, size INTEGER, used REAL,
    PRIMARY KEY (key, media_type)
) WITHOUT ROWID;
CREATE TABLE files (file TEXT PRIMARY KEY, stamp TEXT, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE sessions (
    registry TEXT, repository TEXT, digest TEXT, location TEXT,
    PRIMARY KEY (registry, repository, digest)
) WITHOUT ROWID;
CREATE TABLE origins (
    registry TEXT, digest TEXT, repository TEXT,
    PRIMARY KEY (registry, digest, repository)
) WITHOUT ROWID;
CREATE TABLE bases (digest TEXT PRIMARY KEY, facts TEXT) WITHOUT ROWID;
CREATE TABLE images (name TEXT PRIMARY KEY, manifest BLOB, config BLOB, built REAL) WITHOUT ROWID;
"""


class Database:
    """An open file; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = _open(path)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What one statement gives, or changes: each is a transaction of its own.

        Raises:
            MlfuncError: the file is broken, or cannot be written.

        """
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _failure(self._path, error) from error

    def many(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """One statement for many rows, all or none of them.

        Raises:
            MlfuncError: the file is broken, or cannot be written.

        """
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(query, rows)
        except sqlite3.Error as error:
            raise _failure(self._path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: two that find it broken must not set aside what the other has made since.
    with locks.locked_briefly(path.with_suffix(".lock")):
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise _failure(path, error) from error
            _set_aside(path, error)
            return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: each statement is whole. Threads share it, one at a time.
    connection = sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        message = f"{path} was written by a later mlfunc: version {version}, not {_VERSION}"
        raise MlfuncError(message, f"update mlfunc, or remove {path}: it is only a cache")
    connection.execute("PRAGMA journal_mode = WAL")
    # What a power failure takes is made again; a program that is killed loses nothing.
    connection.execute("PRAGMA synchronous = OFF")
    if version == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_suffix(".broken")
    _log.warning("%s is broken (%s): kept as %s, begun anew", path, error, aside.name)
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _failure(path: Path, error: Exception) -> MlfuncError:
    hint = f"make room if the disk is full; if that stays so, remove {path}: it is only a cache"
    return MlfuncError(f"{path} cannot be used: {error}", hint)
