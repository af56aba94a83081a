"""Archives that are written from streams, and read without being unpacked."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError
from mlfunc.oci import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_EPOCH = 315532801  # when all in it was changed: the second that files in layers have, too


@dataclass(frozen=True)
class Member:
    """A file to be: `size` in bytes is known before its pieces are."""

    name: str
    size: int
    pieces: Iterator[bytes]


def write(path: Path, members: Iterable[Member]) -> None:
    """Write an archive, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        unfinished.file(path, path.name) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in members:
            reader = _Reader(member.pieces)
            tar.addfile(_entry(member), reader)
            # tarfile stops at the size: what the pieces are checked for comes after the last one.
            while reader.read(1):
                pass


def _entry(member: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(member.name)
    info.size, info.mtime, info.mode = member.size, _EPOCH, 0o644
    return info


class _Reader(io.RawIOBase):
    """Pieces as the file that tarfile wants."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or what is left."""
        parts, wanted = [self._rest], size - len(self._rest)
        while wanted > 0 and (piece := next(self._pieces, b"")):
            parts.append(piece)
            wanted -= len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def find(path: Path) -> Callable[[str], tuple[Path, int, int] | None]:
    """Files of an archive by their place in it: nothing is unpacked."""
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
    except tarfile.TarError as error:
        raise UsageError(
            f"{path} is no archive of an OCI layout: {error}", "name another"
        ) from error
    return lambda name: (
        (path, member.offset_data, member.size) if (member := members.get(name)) else None
    )
