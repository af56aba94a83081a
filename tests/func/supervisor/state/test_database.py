"""The file is made private, migrated, and left alone where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.state import database
from mlfunc.supervisor.state.database import Schema

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Schema("notes", ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",))
SECOND = Schema(
    "notes",
    (
        *FIRST.steps,
        "ALTER TABLE notes ADD COLUMN by TEXT; UPDATE notes SET by = 'nobody; or anybody';",
    ),
)


def test_it_is_of_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    found = database.open_(path, FIRST)
    found.rows("INSERT INTO notes (text) VALUES ('a')")

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found.close()


def test_what_an_earlier_version_wrote_is_carried_on(tmp_path: Path) -> None:
    before = database.open_(tmp_path / "state.db", FIRST)
    before.rows("INSERT INTO notes (text) VALUES ('a')")
    before.close()

    after = database.open_(tmp_path / "state.db", SECOND)

    assert after.rows("SELECT * FROM notes") == [(1, "a", "nobody; or anybody")]
    after.close()


def test_what_a_later_version_wrote_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database.open_(path, SECOND).close()
    before = path.read_bytes()

    with pytest.raises(MlfuncError, match="was written by a later mlfunc") as raised:
        database.open_(path, FIRST)

    assert raised.value.hint.startswith("update mlfunc")
    assert path.read_bytes() == before


def test_parts_have_tables_of_their_own_in_one_file(tmp_path: Path) -> None:
    other = Schema("events", ("CREATE TABLE events (id INTEGER PRIMARY KEY);",))
    notes, events = (database.open_(tmp_path / "state.db", each) for each in (SECOND, other))

    notes.rows("INSERT INTO notes (text) VALUES ('a')")
    events.rows("INSERT INTO events VALUES (7)")

    assert notes.rows("SELECT name, version FROM parts") == [("events", 1), ("notes", 2)]
    assert notes.rows("SELECT id FROM events") == [(7,)]
    notes.close()
    events.close()


def test_a_broken_file_is_left_as_it_is_and_how_to_go_on_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database, whatever its name is" * 100)
    before = path.read_bytes()

    with pytest.raises(MlfuncError, match=r"is broken: .*not a database") as raised:
        database.open_(path, FIRST)
    assert path.read_bytes() == before

    command = raised.value.hint.partition(": ")[2]
    subprocess.run(command, shell=True, check=True)  # as users are told to
    assert (tmp_path / "broken" / "state.db").read_bytes() == before
    database.open_(path, FIRST).close()


def test_a_page_that_is_broken_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    found = database.open_(path, FIRST)
    with found.transaction() as connection:
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 900,)] * 500)
    found.close()
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 60))

    found = database.open_(path, FIRST)
    with pytest.raises(MlfuncError, match=r"is broken: .*malformed"):
        found.rows("SELECT * FROM notes")
    found.close()


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    found = database.open_(tmp_path / "state.db", FIRST)

    def write(*texts: str | None) -> None:
        with found.transaction() as connection:
            for each in texts:
                connection.execute("INSERT INTO notes (text) VALUES (upper(?))", (each,))
                assert each is not None

    with pytest.raises(AssertionError):
        write("a", None)
    write("b")

    assert found.rows("SELECT text FROM notes") == [("B",)]
    found.close()


def test_where_there_is_no_space_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    found = database.open_(path, FIRST)
    found.rows("INSERT INTO notes (text) VALUES ('a')")
    found.rows("PRAGMA max_page_count = 8")  # it is as SQLite sees a full disk

    with (
        pytest.raises(MlfuncError, match="there is no space left") as raised,
        found.transaction() as connection,
    ):
        connection.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 100_000,))

    assert raised.value.hint.startswith("make some")
    assert found.rows("SELECT text FROM notes") == [("a",)]
    found.close()


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()

    with pytest.raises(MlfuncError, match="cannot be opened: Is a directory"):
        database.open_(tmp_path / "state.db", FIRST)


def test_two_that_begin_at_once_make_it_once(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from mlfunc.supervisor.state import database\n"
        "schema = database.Schema('notes', ('CREATE TABLE notes (id INTEGER PRIMARY KEY);',))\n"
        "sys.stdin.readline()\n"
        "database.open_(pathlib.Path(sys.argv[1]), schema).close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "state.db")], stdin=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for each in started:
        each.communicate(b"go\n", timeout=30)

    assert [each.returncode for each in started] == [0, 0, 0]


def test_parts_in_threads_wait_for_each_other(tmp_path: Path) -> None:
    def write() -> None:
        found = database.open_(tmp_path / "state.db", FIRST)
        for _ in range(50):
            found.rows("INSERT INTO notes (text) VALUES ('a')")
        found.close()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    found = sqlite3.connect(tmp_path / "state.db")
    assert found.execute("SELECT count(*) FROM notes").fetchone() == (150,)
    found.close()
