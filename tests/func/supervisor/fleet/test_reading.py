"""What of a journal is read: the last lines, those since, and on while more is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.fleet import journal, reading
from mlfunc.supervisor.fleet.journal import Journal, Place
from mlfunc.supervisor.fleet.reading import Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECOND = 10**9
NOW = 1795676400 * SECOND  # 2026-11-26T07:00:00Z


def written(folder: Path, lines: Sequence[bytes], *, full: int = journal.FULL) -> Journal:
    """Lines of which each is a second later than the one before."""
    moment = NOW
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "FULL", full)
        found = Journal(Place(folder / "x.log"), lambda: moment)
        for line in lines:
            found.write([line])
            moment += SECOND
    found.close()
    return found


def said(found: Journal, query: Query) -> list[bytes]:
    """Of a journal that is closed."""

    async def gather() -> bytes:
        return b"".join([block async for block in reading.read(found, query)])

    return asyncio.run(gather()).splitlines()


def test_all_of_it_has_times_where_they_are_asked_for(tmp_path: Path) -> None:
    found = written(tmp_path, [b"a", b"b c"])

    assert said(found, Query()) == [b"a", b"b c"]
    assert said(found, Query(timestamps=True))[1] == b"2026-11-26T07:00:01.000000000Z b c"


NUMBERS = [b"%d" % number for number in range(40)]


@pytest.mark.parametrize("tail", [0, 1, 3, 30, 1000])
@pytest.mark.parametrize("full", [journal.FULL, 700])
def test_the_last_lines_are_those_of_both_files(tmp_path: Path, tail: int, full: int) -> None:
    found = written(tmp_path, NUMBERS, full=full)
    kept = said(found, Query())

    assert said(found, Query(tail=tail)) == (kept[-tail:] if tail else [])
    assert len(kept) == 40 or full == 700


@pytest.mark.parametrize("second", [0, 1, 20, 27, 39, 50])
@pytest.mark.parametrize("full", [journal.FULL, 700])
def test_lines_since_a_time_are_found(tmp_path: Path, second: int, full: int) -> None:
    found = written(tmp_path, NUMBERS, full=full)
    kept = said(found, Query())
    query = Query.of({"sinceTime": f"2026-11-26T07:00:{second:02}Z"})

    assert said(found, query) == [each for each in kept if int(each) >= second]


@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b and b"\r" not in b)),
    second=st.integers(0, 59),
)
def test_lines_since_any_time_are_found_whatever_they_say(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], second: int
) -> None:
    found = written(tmp_path_factory.mktemp("logs"), lines[:60])
    query = Query(since=f"2026-11-26T07:00:{second:02}.000000000Z", timestamps=True)

    assert [each[31:] for each in said(found, query)] == [
        line for number, line in enumerate(lines[:60]) if number >= second
    ]


def test_of_the_last_lines_and_those_since_the_fewer_are_meant(tmp_path: Path) -> None:
    found = written(tmp_path, NUMBERS)
    since = "2026-11-26T07:00:30.000000000Z"

    assert said(found, Query(since=since, tail=100)) == NUMBERS[30:]
    assert said(found, Query(since=since, tail=2)) == NUMBERS[38:]


def test_no_more_bytes_come_than_are_asked_for(tmp_path: Path) -> None:
    found = written(tmp_path, [b"abc", b"def"])

    assert said(found, Query(limit=6)) == [b"abc", b"de"]
    assert said(found, Query(limit=0)) == []


def test_who_follows_gets_each_line_once_while_files_are_full_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FULL", 200)

    async def follow() -> list[bytes]:
        found = Journal(Place(tmp_path / "x.log"))
        got: list[bytes] = []

        async def listen() -> None:
            async for block in reading.read(found, Query(follow=True)):
                got.extend(block.splitlines())

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            for line in NUMBERS:
                found.write([line])
                while line not in got:
                    await asyncio.sleep(0)
            found.close()
        return got

    assert asyncio.run(follow()) == NUMBERS


def test_who_follows_too_slowly_goes_on_with_the_oldest_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FULL", 200)

    async def follow() -> list[bytes]:
        found = Journal(Place(tmp_path / "x.log"))
        found.write([b"first"])
        lines = reading.read(found, Query(follow=True))
        got = [await anext(lines)]
        for line in NUMBERS:
            found.write([line])
        found.close()
        return got + [block async for block in lines]

    lines = b"".join(asyncio.run(follow())).splitlines()

    assert lines[0] == b"first"
    assert lines[-1] == b"39"
    numbers = [int(line) for line in lines[1:]]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("told", "since"),
    [
        ({"sinceTime": "2026-11-26T07:00:00.5Z"}, "2026-11-26T07:00:00.500000000Z"),
        ({"sinceTime": "2026-11-26T09:00:00+02:00"}, "2026-11-26T07:00:00.000000000Z"),
        ({"sinceSeconds": "60"}, "2026-11-26T06:59:00.250000000Z"),
        ({"sinceSeconds": "", "sinceTime": ""}, ""),
    ],
)
def test_times_are_compared_as_journals_have_them(told: dict[str, str], since: str) -> None:
    assert Query.of(told, lambda: NOW / SECOND + 0.25).since == since


@pytest.mark.parametrize(
    "told",
    [
        {"tailLines": "-1"},
        {"limitBytes": "many"},
        {"follow": "yes"},
        {"sinceTime": "yesterday"},
        {"sinceTime": "2026-11-26T07:00:00Z", "sinceSeconds": "1"},
    ],
)
def test_what_a_query_must_not_say_is_refused_by_name(told: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(told))):
        Query.of(told)
