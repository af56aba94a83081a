"""Digests of files: looked up while a file is as it was, and never when that is not sure."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.layers import hashes, reading
from mlfunc.layers.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.layers.tree import Range


@pytest.fixture
def known(tmp_path: Path) -> Iterator[hashes.Hashes]:
    database = Database(tmp_path / "store.db")
    yield hashes.Hashes(database)
    database.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of files that were read."""
    paths: list[str] = []
    real = reading.read

    def noting(pieces: Sequence[Range], offset: int = 0) -> Iterator[bytes]:
        paths.extend(piece.path.name for piece in pieces)
        return real(pieces, offset)

    monkeypatch.setattr(reading, "read", noting)
    return paths


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock, an hour on: what a test writes was written long ago."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3600 * 10**9)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("later")
def test_a_file_is_read_once(tmp_path: Path, known: hashes.Hashes, read: list[str]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    assert known.of(path) == known.of(path) == sha256(b"1234")
    assert read == ["weights"]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "change", ["bytes of another size", "bytes of the same size and time", "another file"]
)
def test_a_file_that_changed_is_read_again(
    tmp_path: Path, known: hashes.Hashes, change: str
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    facts = path.stat()
    known.of(path)
    new = b"12345" if change == "bytes of another size" else b"4321"
    if change == "another file":
        path = tmp_path / "other"
    path.write_bytes(new)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert known.of(path) == sha256(new)


@pytest.mark.parametrize(
    ("whole_seconds", "age", "times"),
    [(False, 0.01, 2), (False, 0.5, 1), (True, 0.5, 2), (True, 2.5, 1)],
    ids=["just now", "before", "just now, by a coarse clock", "before, by a coarse clock"],
)
def test_a_file_is_trusted_when_its_next_change_would_be_seen(
    tmp_path: Path,
    known: hashes.Hashes,
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    whole_seconds: bool,
    age: float,
    times: int,
) -> None:
    """A change within the same tick of the file system's clock would not."""
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    real, written = Path.stat, 1_700_000_000 * 10**9 + (0 if whole_seconds else 1)

    def dated(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        facts = real(self, follow_symlinks=follow_symlinks)
        return os.stat_result(tuple(facts), {"st_mtime_ns": written, "st_ctime_ns": written})

    monkeypatch.setattr(Path, "stat", dated)
    monkeypatch.setattr(time, "time_ns", lambda: written + int(age * 10**9))
    known.of(path)
    known.of(path)
    assert read == ["weights"] * times


def test_a_file_that_changes_while_it_is_read_is_named(
    tmp_path: Path, known: hashes.Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    real = reading.read

    def disturbed(pieces: Sequence[Range], offset: int = 0) -> Iterator[bytes]:
        yield from real(pieces, offset)
        path.write_bytes(b"12345")

    monkeypatch.setattr(reading, "read", disturbed)
    with pytest.raises(MlfuncError, match="weights changed while it was read"):
        known.of(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, known: hashes.Hashes) -> None:
    with pytest.raises(MlfuncError, match="gone cannot be read: No such file"):
        known.of(tmp_path / "gone")


def test_many_are_told_by_their_paths(tmp_path: Path, known: hashes.Hashes) -> None:
    paths = [tmp_path / str(n) for n in range(40)]
    for path in paths:
        path.write_bytes(path.name.encode())
    assert known.of_all(paths) == {path: sha256(path.name.encode()) for path in paths}
    assert known.of_all([]) == {}
