"""Layers: that a blob is its archive, is the same each time, and is there whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import zstandard
from mlfunc.errors import MlfuncError
from mlfunc.layers import making, tar
from mlfunc.layers.blobs import Blobs
from mlfunc.layers.tree import File, Range, Tree
from mlfunc.proc import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.layers.making import Compression, Made

NOISE = random.Random(6).randbytes(1_500_000)
TREE = Tree(
    (File("workspace/x.py", (b"print('x')\n" * 50_000,)), File("workspace/y", (NOISE * 8,)))
)


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Blobs]:
    blobs = Blobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


def kept(blobs: Blobs, made: Made) -> bytes:
    found = blobs.find(made.descriptor)
    return b"".join(found.read()) if found else b""


def whole(tree: Tree) -> bytes:
    return b"".join(tar.archive(tree).read())


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    ("compression", "plain"),
    [("zstd", zstandard.ZstdDecompressor().decompress), ("gzip", gzip.decompress)],
)
def test_a_layers_blob_is_its_archive_compressed(
    blobs: Blobs, compression: Compression, plain: Callable[[bytes], bytes]
) -> None:
    made = making.make(TREE, compression, blobs)
    data = kept(blobs, made)
    assert made.descriptor.digest == sha256(data)
    assert made.descriptor.size == len(data)
    assert plain(data) == whole(TREE)
    assert made.diff_id == sha256(whole(TREE))
    assert making.compression_of(made) == compression


def test_a_layer_that_is_not_compressed_is_not_kept(blobs: Blobs) -> None:
    made = making.make(TREE, "none", blobs)
    assert made.diff_id == made.descriptor.digest == sha256(whole(TREE))
    assert made.descriptor.size == len(whole(TREE))
    assert blobs.find(made.descriptor) is None


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_a_layer_is_the_same_however_its_files_are_cut(
    tmp_path: Path, blobs: Blobs, compression: Compression
) -> None:
    path = tmp_path / "noise"
    path.write_bytes(NOISE)
    cut = [
        Range(path, start, min(77_777, len(NOISE) - start))
        for start in range(0, len(NOISE), 77_777)
    ]
    parted = Tree((TREE.entries[0], File("workspace/y", tuple(cut) * 8)))
    assert making.make(parted, compression, blobs) == making.make(TREE, compression, blobs)


def test_a_frame_tells_its_size_and_has_a_checksum(blobs: Blobs) -> None:
    made = making.make(TREE, "zstd", blobs)
    frame = zstandard.get_frame_parameters(kept(blobs, made))
    assert frame.content_size == len(whole(TREE))
    assert frame.has_checksum
    # What decompressors must hold in memory: containerd's accepts 8 MiB and no more.
    assert frame.window_size <= 8 << 20


def test_gzip_tells_no_time_and_no_name(blobs: Blobs) -> None:
    made = making.make(TREE, "gzip", blobs)
    assert kept(blobs, made)[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_progress_is_told_to_the_last_byte(blobs: Blobs) -> None:
    told: list[int] = []
    making.make(TREE, "zstd", blobs, told.append)
    assert sum(told) == len(whole(TREE))
    assert max(told) <= 1 << 20


def test_two_layers_are_made_at_once(blobs: Blobs) -> None:
    """Each waits, in its midst, until the other is in its own."""
    both = threading.Barrier(2, timeout=60)
    met = threading.local()

    def meet(_: int) -> None:
        if not getattr(met, "yes", False):
            met.yes = True
            both.wait()

    others = Tree((File("other", (NOISE,)),))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda tree: making.make(tree, "zstd", blobs, meet), [TREE, others]))
    assert made == [making.make(TREE, "zstd", blobs), making.make(others, "zstd", blobs)]


def test_one_that_is_broken_off_leaves_nothing(tmp_path: Path, blobs: Blobs) -> None:
    def stop(_: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        making.make(TREE, "zstd", blobs, stop)
    assert not list((tmp_path / "scratch").iterdir())
    assert not (tmp_path / "blobs").exists()


def test_a_file_that_is_cut_short_is_named(tmp_path: Path, blobs: Blobs) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1234")
    with pytest.raises(MlfuncError, match=r"weights\.bin changed while it was read"):
        making.make(Tree((File("w", (Range(path, 0, 5),)),)), "none", blobs)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "scratch").write_bytes(b"")
    with pytest.raises(MlfuncError, match=r"could not be kept in .*blobs: ") as caught:
        making.make(TREE, "zstd", blobs)
    assert "MLFUNC_HOME" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
