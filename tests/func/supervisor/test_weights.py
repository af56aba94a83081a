"""Files of models that are kept: as they were, each once, gone with the last release."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

import pytest
from mlfunc.cache import holding
from mlfunc.layers import reading, store
from mlfunc.supervisor import weights
from mlfunc.supervisor.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.layers.hashes import Hashes

DATA = os.urandom(3 * reading.PIECE + 7)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "platform")
    holding.let_go()


@pytest.fixture
def hashes(tmp_path: Path) -> Iterator[Hashes]:
    with store.opened(tmp_path / "store") as opened:
        yield opened.hashes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(DATA)
    os.utime(path, (1, 1))
    return path


def test_a_file_is_kept_as_it_was(at: Home, hashes: Hashes, file: Path) -> None:
    done: list[int] = []
    kept = weights.keep(at, file, hashes, done.append)
    with file.open("r+b") as written:
        written.write(b"training goes on")

    assert kept.sha256 == SHA256
    assert weights.place(at, SHA256).read_bytes() == DATA
    assert [path.name for path in at.models.iterdir()] == [SHA256]
    assert sum(done) == len(DATA)


def test_one_that_is_kept_is_not_read_again(
    at: Home, hashes: Hashes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(file)
    while hashes.known(file) is None:  # until its clock has gone on since it was written
        weights.keep(at, file, hashes)
    monkeypatch.setattr(reading, "read", None)

    assert weights.keep(at, file, hashes) == weights.Kept(SHA256, 0)


def test_the_same_bytes_by_another_name_are_kept_once(at: Home, hashes: Hashes, file: Path) -> None:
    weights.keep(at, file, hashes)
    number = weights.place(at, SHA256).stat().st_ino
    other = shutil.copyfile(file, file.with_name("other"))

    assert weights.keep(at, other, hashes) == weights.Kept(SHA256, 0)
    assert weights.place(at, SHA256).stat().st_ino == number
    assert [path.name for path in at.models.iterdir()] == [SHA256]


def test_where_blocks_can_be_shared_nothing_is_copied(
    at: Home, hashes: Hashes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clone(to: BinaryIO, request: int, source: int) -> int:
        """As the ioctl does it on Btrfs and XFS; here is neither."""
        assert request == weights._FICLONE
        return os.copy_file_range(source, to.fileno(), len(DATA))

    monkeypatch.setattr(fcntl, "ioctl", clone)

    assert weights.keep(at, file, hashes) == weights.Kept(SHA256, 0)
    assert weights.place(at, SHA256).read_bytes() == DATA


def test_what_a_power_cut_has_left_is_kept_anew(at: Home, hashes: Hashes, file: Path) -> None:
    at.models.mkdir(parents=True)
    weights.place(at, SHA256).touch()

    assert weights.keep(at, file, hashes) == weights.Kept(SHA256, len(DATA))
    assert weights.place(at, SHA256).read_bytes() == DATA


def test_where_there_is_no_room_nothing_is_begun(
    at: Home, hashes: Hashes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        weights.keep(at, file, hashes)
    assert [*at.models.iterdir()] == []


def test_what_no_release_has_is_removed_but_not_while_somebody_deploys(
    at: Home, hashes: Hashes, file: Path
) -> None:
    weights.prune(at)  # there is nothing
    weights.keep(at, file, hashes)
    weights.prune(at)
    assert weights.place(at, SHA256).exists()

    holding.let_go()
    os.link(weights.place(at, SHA256), file.with_name("of a release"))
    weights.prune(at)
    assert weights.place(at, SHA256).exists()
    file.with_name("of a release").unlink()
    (at.models / ".unfinished-1").touch()
    weights.prune(at)
    assert [*at.models.iterdir()] == []
