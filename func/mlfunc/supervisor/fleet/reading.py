"""Reading a journal: from where, how far, and on while more is written."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from mlfunc.supervisor.fleet.journal import Journal

_BLOCK = 64 * 1024
# Of our own times, the length; as they are, they are in order.
_STAMP = len("2026-11-26T07:00:00.000000000Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


@dataclass(frozen=True)
class Query:
    """What of a log is asked for, as the API of pods' logs has it."""

    follow: bool = False
    previous: bool = False  # of the process before this one
    timestamps: bool = False
    tail: int | None = None  # so many of the last lines
    since: str = ""  # a time as journals have it
    limit: int | None = None  # so many bytes

    @classmethod
    def of(cls, told: Mapping[str, str], clock: Callable[[], float] = time.time) -> Query:
        """Of the parameters of a request; those that are empty are not there.

        Raises:
            ValueError: one is not as it has to be; the message says which, and how it has to be.

        """
        return cls(
            follow=_flag(told, "follow"),
            previous=_flag(told, "previous"),
            timestamps=_flag(told, "timestamps"),
            tail=_count(told, "tailLines"),
            since=_since(told, clock),
            limit=_count(told, "limitBytes"),
        )


class Position(NamedTuple):
    """A byte of the file of a turn."""

    turn: int
    offset: int


async def read(journal: Journal, query: Query) -> AsyncIterator[bytes]:
    """What is asked for, as whole lines; many at once."""
    left = query.limit
    async for block in _lines(journal, _start(journal, query), follow=query.follow):
        said = block if query.timestamps else _bare(block)
        if left is not None and len(said) >= left:
            yield said[:left]
            return
        left = None if left is None else left - len(said)
        yield said
        await asyncio.sleep(0)  # a long log is read in many turns of the loop


async def _lines(journal: Journal, start: Position, *, follow: bool) -> AsyncIterator[bytes]:
    """Blocks that end where a line ends."""
    rest = b""
    async for block in _blocks(journal, start, follow=follow):
        whole, end, rest = (rest + block).rpartition(b"\n")
        if end:
            yield whole + end


async def _blocks(journal: Journal, start: Position, *, follow: bool) -> AsyncIterator[bytes]:
    turn, offset = start
    while True:
        opened = journal.open(turn)
        if opened is not None:
            file, turn = opened
            with file:
                file.seek(offset)
                async for block in _blocks_of(file, journal, turn, follow=follow):
                    yield block
            turn, offset = turn + 1, 0
        elif journal.closed or not follow:
            return
        else:
            await journal.changed()


async def _blocks_of(
    file: BinaryIO, journal: Journal, turn: int, *, follow: bool
) -> AsyncIterator[bytes]:
    """Of one file, until no more is written to it."""
    while True:
        if block := file.read(_BLOCK):
            yield block
        elif journal.turned > turn or journal.closed or not follow:
            return
        else:
            await journal.changed()


def _start(journal: Journal, query: Query) -> Position:
    """Where the first line is that is asked for."""
    start = Position(0, 0)
    if query.since:
        start = max(start, _first_since(journal, query.since.encode()))
    if query.tail is not None:
        start = max(start, _last_lines(journal, query.tail))
    return start


def _first_since(journal: Journal, since: bytes) -> Position:
    end = Position(0, 0)
    for turn in range(max(0, journal.turned - 1), journal.turned + 1):
        opened = journal.open(turn)
        if opened is None:
            continue
        with opened[0] as file:
            size = file.seek(0, os.SEEK_END)
            offset = _bisect(file, since, size)
        end = Position(opened[1], offset)
        if offset < size:
            return end
    return end


def _bisect(file: BinaryIO, since: bytes, size: int) -> int:
    """Where the first line begins that is not before: lines are in the order of their times."""
    low, high = 0, size  # a line that begins before `low` is too old, one from `high` on is not
    while low < high:
        middle = (low + high) // 2
        file.seek(middle)
        begin = middle + len(file.readline()) if middle else 0
        file.seek(begin)
        if begin < size and file.read(_STAMP) < since:
            low = begin + 1
        else:
            high = middle
    file.seek(low)
    return low + len(file.readline()) if low else 0


def _last_lines(journal: Journal, wanted: int) -> Position:
    end = Position(0, 0)
    for turn in range(journal.turned, max(0, journal.turned - 1) - 1, -1):
        opened = journal.open(turn)
        if opened is None or opened[1] != turn:
            continue
        with opened[0] as file:
            offset, wanted = _backwards(file, wanted)
        end = Position(turn, offset)
        if wanted == 0:
            return end
    return end


def _backwards(file: BinaryIO, wanted: int) -> tuple[int, int]:
    """Where the last so many lines begin, and how many the file lacks of them."""
    at = file.seek(0, os.SEEK_END)
    if wanted == 0:
        return at, 0
    wanted += 1  # the end of the line before the first
    while at > 0:
        begin = max(0, at - _BLOCK)
        file.seek(begin)
        block = file.read(at - begin)
        found = block.count(b"\n")
        if found >= wanted:
            return begin + _nth_last(block, wanted) + 1, 0
        wanted -= found
        at = begin
    return 0, wanted - 1


def _nth_last(block: bytes, wanted: int) -> int:
    at = len(block)
    for _ in range(wanted):
        at = block.rindex(b"\n", 0, at)
    return at


def _bare(block: bytes) -> bytes:
    """Without times."""
    return b"".join(line[_STAMP + 1 :] for line in block.splitlines(keepends=True))


def _flag(told: Mapping[str, str], name: str) -> bool:
    said = told.get(name, "")
    if said not in {"", "true", "false", "1", "0"}:
        raise ValueError(f"{name} is {said}: it has to be true or false")
    return said in {"true", "1"}


def _count(told: Mapping[str, str], name: str) -> int | None:
    said = told.get(name, "")
    if not said:
        return None
    if not said.isascii() or not said.isdigit():
        raise ValueError(f"{name} is {said}: it has to be a number")
    return int(said)


def _since(told: Mapping[str, str], clock: Callable[[], float]) -> str:
    seconds, moment = _count(told, "sinceSeconds"), told.get("sinceTime", "")
    if seconds is not None and moment:
        raise ValueError("sinceSeconds and sinceTime are both there: give one")
    if seconds is not None:
        return _written(datetime.datetime.fromtimestamp(max(0.0, clock() - seconds), datetime.UTC))
    return _normal(moment) if moment else ""


def _normal(moment: str) -> str:
    if match := _TIME.fullmatch(moment):
        return f"{match[1]}.{(match[2] or ''):0<9}Z"
    try:
        return _written(datetime.datetime.fromisoformat(moment).astimezone(datetime.UTC))
    except ValueError:
        raise ValueError(f"sinceTime is {moment}: it has to be as in RFC 3339") from None


def _written(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
