"""From a tree to a layer: archived, hashed and compressed in one pass.

The same tree gives the same digests wherever the same zstandard or zlib is installed; the diff_id,
which names what is in the archive, is the same everywhere.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from mlfunc.errors import MlfuncError
from mlfunc.layers import tar
from mlfunc.oci.content import LAYER, LAYER_GZIP, LAYER_ZSTD, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from mlfunc.layers.blobs import Blobs
    from mlfunc.layers.tar import Tar
    from mlfunc.layers.tree import Tree

Compression = Literal["none", "zstd", "gzip"]
MEDIA_TYPES: Mapping[Compression, str] = {"none": LAYER, "zstd": LAYER_ZSTD, "gzip": LAYER_GZIP}
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
        MlfuncError: a file cannot be read, or changed meanwhile, or there is no room.

    """
    archive = tar.archive(tree)
    if compression == "none":
        return _hashed(archive, progress)
    try:
        with blobs.scratch() as folder:
            path = folder / "blob"
            with path.open("wb") as file:
                made = _compressed(archive, compression, file, progress)
            blobs.keep(path, made.descriptor.digest)
    except OSError as error:
        message = f"a layer could not be kept in {blobs.folder}: {error.strerror}"
        raise MlfuncError(
            message, "make room there, or set MLFUNC_HOME to another folder"
        ) from error
    return made


def compression_of(made: Made) -> Compression:
    """How its blob is compressed."""
    return next(kind for kind, name in MEDIA_TYPES.items() if name == made.descriptor.media_type)


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
