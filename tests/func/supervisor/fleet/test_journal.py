"""The journal of a process: each line has its time, the files stay small, a full disk is no end."""

from __future__ import annotations

import itertools
import logging
import os
from typing import TYPE_CHECKING

from mlfunc.supervisor.fleet import journal
from mlfunc.supervisor.fleet.journal import Journal, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

SECOND = 10**9
# 2026-11-26T07:00:00Z
NOW = 1795676400 * SECOND


def at(*moments: int) -> Callable[[], int]:
    """A clock that shows these, and the last one for ever."""
    shown = itertools.chain(moments, itertools.repeat(moments[-1]))
    return lambda: next(shown)


def test_each_line_has_a_time_of_its_own_and_they_grow(tmp_path: Path) -> None:
    found = Journal(Place(tmp_path / "x.log"), at(NOW, NOW - SECOND))
    found.write([b"a", b"", b"c d"])
    found.write([b"e"])
    found.close()

    assert found.place.newer.read_text().splitlines() == [
        "2026-11-26T07:00:00.000000000Z a",
        "2026-11-26T07:00:00.000000001Z ",
        "2026-11-26T07:00:00.000000002Z c d",
        "2026-11-26T07:00:00.000000004Z e",
    ]


def test_times_grow_over_the_end_of_a_second(tmp_path: Path) -> None:
    found = Journal(Place(tmp_path / "x.log"), at(NOW + SECOND - 1))
    found.write([b"a", b"b"])
    found.close()

    assert [line.split()[0] for line in found.place.newer.read_text().splitlines()] == [
        "2026-11-26T07:00:00.999999999Z",
        "2026-11-26T07:00:01.000000000Z",
    ]


def test_it_is_its_users_alone(tmp_path: Path) -> None:
    found = Journal(Place(tmp_path / "default" / "x-00001" / "x.log"))
    found.close()

    assert found.place.newer.stat().st_mode & 0o777 == 0o600
    folders = (tmp_path / "default", tmp_path / "default" / "x-00001")
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_full_file_becomes_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FULL", 100)
    found = Journal(Place(tmp_path / "x.log"))
    for number in range(50):
        found.write([b"%d" % number])
    found.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1"]
    assert found.place.newer.read_text().endswith("Z 49\n")
    kept = found.place.older.read_text() + found.place.newer.read_text()
    assert 2 * 100 < len(kept) < 2 * 140 + 1


class Full:
    """A disk that takes some bytes, and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, file: int, data: bytes) -> int:
        """As much as there is room for."""
        if self.room == 0:
            raise OSError(28, "No space left on device")
        taken = data[: self.room]
        self.room -= len(taken)
        return real_write(file, taken)


real_write = os.write


def test_on_a_full_disk_nothing_is_left_half_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = at(NOW)
    found = Journal(Place(tmp_path / "x.log"), lambda: clock())
    disk = Full(40)
    monkeypatch.setattr(os, "write", disk.write)
    with caplog.at_level(logging.WARNING):
        for line in (b"first", b"second", b"third"):
            found.write([line])
        clock = at(NOW + 20 * SECOND)
        found.write([b"fourth"])
        disk.room = 1000
        clock = at(NOW + 40 * SECOND)
        found.write([b"fifth"])
    found.close()

    assert [line[31:] for line in found.place.newer.read_text().splitlines()] == ["first", "fifth"]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "nothing is logged for now: no space left on device",
        "it is logged again",
    ]


def test_where_no_file_can_be_made_what_is_said_is_lost_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        found = Journal(Place(tmp_path / "file" / "x.log"))
        found.write([b"lost"])
        found.close()

    assert "nothing is logged for now: " in caplog.text
