"""What a process writes, as lines: whole, one record each, and none without end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.fleet.output import LONGEST, Lines, phase

READY = b'{"time":"2026-01-02T03:04:05Z","level":"info","message":"ready","phase":"ready"}'


def test_a_line_goes_out_when_it_is_whole() -> None:
    lines = Lines()

    assert lines.cut(b"one\ntw") == [b"one"]
    assert lines.cut(b"o\n\nthree") == [b"two", b""]
    assert lines.end() == [b"three"]
    assert lines.end() == []


def test_a_record_after_a_progress_bar_is_a_line_of_its_own() -> None:
    assert Lines().cut(b"50%\r" + READY + b"\n") == [b"50%\r", READY]


def test_what_only_looks_like_a_record_stays_where_it_is() -> None:
    assert Lines().cut(b'see {"time":3\n') == [b'see {"time":3']


def test_what_never_ends_its_line_is_cut() -> None:
    lines = Lines()

    assert [len(each) for each in lines.cut(b"x" * (2 * LONGEST + 1))] == [LONGEST, LONGEST]
    assert lines.end() == [b"x"]


@given(st.lists(st.binary(max_size=20)))
def test_however_it_comes_nothing_is_lost(chunks: list[bytes]) -> None:
    lines = Lines()
    said = [line for chunk in chunks for line in lines.cut(chunk)] + lines.end()

    whole = b"".join(chunks)
    assert b"\n".join(said) == whole.removesuffix(b"\n")


def test_phases_are_told_from_other_lines() -> None:
    assert (phase(READY) or {})["phase"] == "ready"
    assert phase(b'{"phase": "ready"}') is None
    assert phase(READY.replace(b'"ready"}', b"[1]}")) is None
    assert phase(b"ready") is None
