"""What images are made of: descriptors, manifests, and blobs that can be read from any byte on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What names a blob: OCI image specification, descriptor.md. `size` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As manifests have it."""
        plain = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**plain, "annotations": dict(self.annotations)} if self.annotations else plain


class Blob(Protocol):
    """Bytes with a known digest, that can be read again and from the middle."""

    @property
    def descriptor(self) -> Descriptor:
        """What it is."""
        ...

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, in pieces of at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """A blob in memory: a manifest, a config, a layer of a few kilobytes."""

    data: bytes
    media_type: str

    @property
    def descriptor(self) -> Descriptor:
        """What it is."""
        return Descriptor(self.media_type, digest(self.data), len(self.data))

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on."""
        yield self.data[offset:]

    def as_source(self) -> Source:
        """As a layer is handed on."""
        return Source(self.descriptor, lambda: self)


def digest(data: bytes) -> str:
    """What names these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(pieces: Iterable[bytes]) -> str:
    """What names the bytes of these, one after the other."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return f"sha256:{found.hexdigest()}"


@dataclass(frozen=True)
class Source:
    """A layer's blob, opened only by who needs its bytes: another may have it already.

    `origins` are repositories of the registry that it is pushed to which have it, to mount from.
    """

    descriptor: Descriptor
    open: Callable[[], Blob]
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """All of an image for one platform; layers bottom first, those of its base included."""

    manifest: Bytes
    config: Bytes
    layers: tuple[Source, ...]
