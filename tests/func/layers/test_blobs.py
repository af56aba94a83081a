"""Blobs in a folder: whole or not there, and those in use stay."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from mlfunc.layers.blobs import Blobs, FileBlob
from mlfunc.oci.content import LAYER_ZSTD, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Blobs]:
    blobs = Blobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Blobs]:
    """The same folder, as another program has it open."""
    blobs = Blobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


def there(blobs: Blobs, descriptor: Descriptor) -> FileBlob:
    """A blob that must be there."""
    found = blobs.find(descriptor)
    assert found is not None
    return found


def kept(blobs: Blobs, data: bytes, *, age: int = 0) -> Descriptor:
    """A blob that was used so many seconds ago."""
    found = Descriptor(LAYER_ZSTD, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    with blobs.scratch() as folder:
        (folder / "blob").write_bytes(data)
        blobs.keep(folder / "blob", found.digest)
    blob = blobs.find(found)
    assert blob is not None
    facts = blob.path.stat()
    os.utime(blob.path, (facts.st_atime - age, facts.st_mtime))
    return found


def test_a_blob_reads_from_any_byte_on(blobs: Blobs) -> None:
    blob = there(blobs, kept(blobs, b"0123456789"))
    assert b"".join(blob.read()) == b"0123456789"
    assert b"".join(blob.read(7)) == b"789"
    assert b"".join(blob.read(10)) == b""


def test_half_a_blob_is_none(blobs: Blobs) -> None:
    descriptor = kept(blobs, b"0123456789")
    there(blobs, descriptor).path.write_bytes(b"01234")
    assert blobs.find(descriptor) is None
    assert kept(blobs, b"0123456789") == descriptor
    assert blobs.find(descriptor) is not None


def test_what_is_not_there_is_not_found(blobs: Blobs) -> None:
    assert blobs.find(Descriptor(LAYER_ZSTD, "sha256:" + "0" * 64, 1)) is None
    assert blobs.prune(0) == 0


def test_those_used_least_recently_go_first(blobs: Blobs) -> None:
    old, older, new = (kept(blobs, bytes([n]) * 10, age=age) for n, age in enumerate((50, 90, 10)))
    blobs.close()
    assert blobs.prune(25) == 10
    assert [blobs.find(each) is not None for each in (old, older, new)] == [True, False, True]


def test_to_find_one_is_to_use_it(blobs: Blobs) -> None:
    used, other = (kept(blobs, bytes([n]) * 10, age=90 - n) for n in range(2))
    blobs.find(used)
    blobs.close()
    blobs.prune(10)
    assert blobs.find(used)
    assert blobs.find(other) is None


def test_no_more_goes_than_must(blobs: Blobs) -> None:
    for n in range(4):
        kept(blobs, bytes([n]) * 10, age=n)
    blobs.close()
    assert blobs.prune(40) == 0
    assert blobs.prune(39) == 10
    assert blobs.prune(11) == 20


def test_what_another_program_uses_stays(blobs: Blobs, other: Blobs) -> None:
    made, found, free = (kept(blobs, bytes([n]) * 10, age=n) for n in range(3))
    blobs.close()
    assert other.find(found)
    kept(other, bytes([0]) * 10)
    assert blobs.prune(0) == 10
    assert other.find(made)
    assert other.find(found)
    assert other.find(free) is None


def test_one_that_is_kept_twice_stays_for_who_holds_the_first(blobs: Blobs, other: Blobs) -> None:
    first = there(blobs, kept(blobs, b"0123456789"))
    inode = first.path.stat().st_ino
    kept(other, b"0123456789")
    other.close()
    assert first.path.stat().st_ino == inode
    assert other.prune(0) == 0


def test_a_blob_that_another_finds_is_read_to_its_end(blobs: Blobs, other: Blobs) -> None:
    descriptor = kept(blobs, bytes(3 << 20))
    pieces = there(blobs, descriptor).read()
    next(pieces)
    assert other.find(descriptor)
    assert sum(map(len, pieces)) == 2 << 20


def test_a_blob_that_a_disk_has_damaged_goes(blobs: Blobs) -> None:
    descriptor = kept(blobs, b"compressed")
    path = there(blobs, descriptor).path
    path.write_bytes(b"Compressed")

    assert blobs.find(descriptor) is None
    assert not path.exists()
