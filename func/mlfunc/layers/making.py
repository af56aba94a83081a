"""From a tree to a layer: archived, hashed and compressed in one pass.

The same tree gives the same digests wherever the same zstandard or zlib is installed; the diff_id,
which names what is in the archive, is the same everywhere.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from mlfunc.layers import tar
from mlfunc.oci.content import LAYER, LAYER_GZIP, LAYER_ZSTD, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from mlfunc.layers.blobs import Blobs
    from mlfunc.layers.tar import Tar
    from mlfunc.layers.tree import Tree
    from mlfunc.oci.content import Blob

Compression = Literal["none", "zstd", "gzip"]
MEDIA_TYPES: dict[Compression, str] = {"none": LAYER, "zstd": LAYER_ZSTD, "gzip": LAYER_GZIP}
_ZSTD_LEVEL = 3
_GZIP_LEVEL = 6
# A gzip header without name and time: RFC 1952, and zlib's deflateInit2 on windowBits.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Made:
    """A layer: the digest of its archive, and the blob that it is moved as."""

    diff_id: str
    descriptor: Descriptor


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def make(
    tree: Tree,
    compression: Compression,
    blobs: Blobs,
    progress: Callable[[int], None] = lambda _: None,
) -> Made:
    """Make a layer. A compressed one is kept, of one that is not the digest is all that is made.

    `progress` gets the bytes of the archive that were added each time; what it raises ends this.

    Raises:
        MlfuncError: a file cannot be read, or changed meanwhile.

    """
    archive = tar.archive(tree)
    if compression == "none":
        return _hashed(archive, progress)
    with blobs.scratch() as folder:
        path = folder / "blob"
        with path.open("wb") as file:
            made = _compressed(archive, compression, file, progress)
        blobs.keep(path, made.descriptor.digest)
    return made


def reopen(made: Made, tree: Callable[[], Tree], blobs: Blobs) -> Blob:
    """The bytes of a layer: those kept, else those of the tree, made again.

    Raises:
        MlfuncError: a file cannot be read, or changed meanwhile.
        Different: the tree gives another layer than it did.

    """
    if kept := blobs.find(made.descriptor):
        return kept
    if made.descriptor.media_type == LAYER:
        return tar.TarBlob(made.descriptor, tar.archive(tree()))
    kinds = {media_type: compression for compression, media_type in MEDIA_TYPES.items()}
    again = make(tree(), kinds[made.descriptor.media_type], blobs)
    kept = blobs.find(made.descriptor)
    if kept is None:
        raise Different(again)
    return kept


class Different(Exception):
    """What was made again is not what it was: another zstandard made it, or its files changed."""

    def __init__(self, made: Made) -> None:
        super().__init__(f"made again, it is {made.descriptor.digest}")
        self.made = made


def _hashed(archive: Tar, progress: Callable[[int], None]) -> Made:
    plain = hashlib.sha256()
    for piece in archive.read():
        plain.update(piece)
        progress(len(piece))
    digest = f"sha256:{plain.hexdigest()}"
    return Made(digest, Descriptor(LAYER, digest, archive.size))


def _compressed(
    archive: Tar, compression: Compression, file: BinaryIO, progress: Callable[[int], None]
) -> Made:
    plain, small = hashlib.sha256(), hashlib.sha256()
    compressor = _compressor(compression, archive.size)

    def add(data: bytes) -> None:
        small.update(data)
        file.write(data)

    for piece in archive.read():
        plain.update(piece)
        add(compressor.compress(piece))
        progress(len(piece))
    add(compressor.flush())
    blob = Descriptor(MEDIA_TYPES[compression], f"sha256:{small.hexdigest()}", file.tell())
    return Made(f"sha256:{plain.hexdigest()}", blob)


def _compressor(compression: Compression, size: int) -> _Compressor:
    if compression == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    import zstandard

    # One thread beside ours: without any, the same settings give other bytes.
    whole = zstandard.ZstdCompressor(
        level=_ZSTD_LEVEL, threads=1, write_checksum=True, write_content_size=True
    )
    return whole.compressobj(size=size)
