"""The file of the store: a broken one is set aside, a later one is refused."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.layers.database import Database

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_what_is_written_is_there_for_the_next(path: Path) -> None:
    first = Database(path)
    first.rows("INSERT INTO bases VALUES (?, ?)", "sha256:1", "{}")
    second = Database(path)
    assert second.rows("SELECT * FROM bases") == [("sha256:1", "{}")]
    first.close()
    second.close()


@pytest.mark.parametrize(
    "content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 8176]
)
def test_a_broken_file_is_set_aside_with_a_note(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        database = Database(path)
    assert database.rows("SELECT * FROM bases") == []
    assert path.with_suffix(".broken").read_bytes() == content
    assert "store.db is broken" in caplog.text
    database.close()


def test_a_file_of_a_later_version_is_refused_with_a_way_out(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(
        MlfuncError, match="was written by a later mlfunc: version 2, not 1"
    ) as caught:
        Database(path)
    assert f"remove {path}" in caught.value.hint


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(MlfuncError, match=r"store\.db cannot be used: unable to open"):
        Database(tmp_path / "store.db")


def test_many_rows_are_written_all_or_none(path: Path) -> None:
    database = Database(path)
    rows = [("r", "sha256:1", "a"), ("r", "sha256:2", object())]
    with pytest.raises(MlfuncError):
        database.many("INSERT INTO origins VALUES (?, ?, ?)", rows)
    assert database.rows("SELECT * FROM origins") == []
    database.close()


def test_threads_share_it(path: Path) -> None:
    database = Database(path)
    with ThreadPoolExecutor(4) as pool:
        query = "INSERT INTO bases VALUES (?, ?)"
        list(pool.map(lambda n: database.rows(query, f"sha256:{n}", "{}"), range(200)))
    assert database.rows("SELECT count(*) FROM bases") == [(200,)]
    database.close()
