from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest
import zstandard
from mlfunc.layers import making, tar
from mlfunc.layers.blobs import Blobs
from mlfunc.layers.tree import File, Tree

TREE = Tree(
    (File("workspace/x.py", (b"print('x')\n" * 1000,)), File("workspace/y", (bytes(3_000_000),)))
)


@pytest.fixture
def blobs(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


def plain(compression, data):
    if compression == "gzip":
        return gzip.decompress(data)
    return data if compression == "none" else zstandard.ZstdDecompressor().decompress(data)


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_a_layers_blob_is_its_archive_compressed(blobs, compression):
    made = making.make(TREE, compression, blobs)
    data = b"".join(making.reopen(made, lambda: TREE, blobs).read())
    archive = plain(compression, data)
    assert made.descriptor.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert made.descriptor.size == len(data)
    assert made.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert archive == b"".join(tar.archive(TREE).read())
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        assert read.getnames() == ["workspace", "workspace/x.py", "workspace/y"]
