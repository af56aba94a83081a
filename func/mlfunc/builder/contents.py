"""What is in a base image: its layers' tar headers, read once, laid one over the other.

Nothing is unpacked. OCI image specification, layer.md: whiteouts.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_LINKS_AT_MOST = 40
_LIBC = re.compile(r"libc(\.so\.6|-[\d.]+\.so)")
_GLIBC = re.compile(rb"GNU C Library [^\n]{0,80}version (\d+)\.(\d+)")
_PIECE = 2**20
# zlib reads gzip's frame with this added to its window.
_GZIP_WINDOW = 31


@dataclass(frozen=True)
class Contents:
    """Paths relative to the root, each with the target of its link, or "" for what is no link."""

    paths: Mapping[str, str] = field(default_factory=dict)
    glibc: tuple[int, int] | None = None

    def find(self, path: str) -> str | None:
        """Where a path leads once all links are followed; None: nowhere."""
        return self._follow(path.strip("/"), _LINKS_AT_MOST)

    def _follow(self, path: str, most: int) -> str | None:
        head = ""
        parts = path.split("/")
        for number, part in enumerate(parts):
            head = posixpath.normpath(posixpath.join(head, part))
            target = self.paths.get(head, "")
            if target:
                rest = "/".join(parts[number + 1 :])
                there = posixpath.join("/", posixpath.dirname(head), target, rest)
                path = posixpath.normpath(there).strip("/")
                return self._follow(path, most - 1) if most else None
        return f"/{head}" if head in self.paths else None


def over(layers: Iterable[Contents]) -> Contents:
    """The layers as a container sees them, bottom first."""
    merged: dict[str, str] = {}
    glibc = None
    for layer in layers:
        for path in layer.paths:
            _cover(merged, path)
        merged.update({k: v for k, v in layer.paths.items() if not _is_whiteout(k)})
        glibc = layer.glibc or glibc
    return Contents(merged, glibc)


def _cover(merged: dict[str, str], path: str) -> None:
    """Remove what a whiteout of the layer above hides."""
    folder, name = posixpath.split(path)
    if name == _OPAQUE:
        _remove(merged, folder, itself=False)
    elif name.startswith(_WHITEOUT):
        _remove(merged, posixpath.join(folder, name.removeprefix(_WHITEOUT)), itself=True)


def _remove(merged: dict[str, str], path: str, *, itself: bool) -> None:
    within = f"{path}/" if path else ""
    for each in [p for p in merged if p.startswith(within) or (itself and p == path)]:
        del merged[each]


def _is_whiteout(path: str) -> bool:
    return posixpath.basename(path).startswith(_WHITEOUT)


def read(pieces: Iterable[bytes], media_type: str) -> Contents:
    """What one layer holds.

    Raises:
        MlfuncError: it is no tar, or compressed in a way that is not known.

    """
    paths: dict[str, str] = {}
    glibc = None
    for archive, member, path in _members(pieces, media_type):
        paths[path] = member.linkname if member.issym() else ""
        if member.isreg() and _LIBC.fullmatch(posixpath.basename(path)):
            glibc = _version_of(archive.extractfile(member)) or glibc
    return Contents(paths, glibc)


def files(
    pieces: Iterable[bytes], media_type: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    """The files of one layer whose paths are wanted, with their bytes.

    Raises:
        MlfuncError: it is no tar, or compressed in a way that is not known.

    """
    for archive, member, path in _members(pieces, media_type):
        if member.isreg() and wanted(path) and (file := archive.extractfile(member)):
            yield path, file.read()


def _members(
    pieces: Iterable[bytes], media_type: str
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
    stream = io.BufferedReader(_Stream(_plain(iter(pieces), media_type)), _PIECE)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                yield archive, member, posixpath.normpath(member.name).strip("/")
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise MlfuncError(f"a layer of the base image cannot be read: {error}") from error


def _version_of(file: IO[bytes] | None) -> tuple[int, int] | None:
    found = _GLIBC.search(file.read()) if file else None
    return (int(found[1]), int(found[2])) if found else None


def _plain(pieces: Iterator[bytes], media_type: str) -> Iterator[bytes]:
    if media_type.endswith("gzip"):
        return _gunzipped(pieces)
    if media_type.endswith("zstd"):
        return _unzstd(pieces)
    return pieces


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """gzip, of which a layer may have several members one after the other."""
    inflate = zlib.decompressobj(_GZIP_WINDOW)
    for piece in pieces:
        rest = piece
        while rest:
            yield inflate.decompress(rest)
            rest = inflate.unused_data
            if inflate.eof:
                inflate = zlib.decompressobj(_GZIP_WINDOW)


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    decompress = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    try:
        for piece in pieces:
            yield decompress.decompress(piece)
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error


class _Stream(io.RawIOBase):
    """An iterator of bytes as what tarfile reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is read only."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """As many bytes as there are, up to the buffer's size."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
