"""Reading bytes that lie in memory and in files as if they were one file, from any byte on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlfunc.layers.tree import Range

PIECE = 1 << 20


def read(pieces: Iterable[bytes | Range], offset: int = 0) -> Iterator[bytes]:
    """The bytes of all from `offset` on, in parts of at most 1 MiB.

    Raises:
        MlfuncError: a file cannot be read, or changed meanwhile.

    """
    return _gathered(_parts(pieces, offset))


def changed(path: Path) -> MlfuncError:
    """What to say of a file that was not the same at the end of a read, or at the next."""
    return MlfuncError(f"{path} changed while it was read", "build again when nothing writes to it")


def _parts(pieces: Iterable[bytes | Range], skipped: int) -> Iterator[bytes]:
    for piece in pieces:
        length = len(piece) if isinstance(piece, bytes) else piece.length
        if skipped >= length:
            skipped -= length
            continue
        if isinstance(piece, bytes):
            yield from _cut(piece[skipped:])
        else:
            yield from _file_parts(piece, skipped)
        skipped = 0


def _cut(data: bytes) -> Iterator[bytes]:
    if len(data) <= PIECE:
        yield data
    else:
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))


def _file_parts(piece: Range, skipped: int) -> Iterator[bytes]:
    path, left = piece.path, piece.length - skipped
    try:
        with path.open("rb", buffering=0) as file:
            before = _stamp(file.fileno())
            if piece.written not in {None, before[1]}:
                raise changed(path)
            file.seek(piece.offset + skipped)
            while left:
                data = file.read(min(left, PIECE))
                if not data:
                    raise changed(path)
                left -= len(data)
                yield data
            if _stamp(file.fileno()) != before:
                raise changed(path)
    except OSError as error:
        raise MlfuncError(f"{path} cannot be read: {error.strerror}") from error


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Small ones joined: whoever hashes or sends them has few and large ones."""
    kept: list[bytes] = []
    size = 0
    for part in parts:
        if kept and size + len(part) > PIECE:
            yield b"".join(kept)
            kept, size = [], 0
        kept.append(part)
        size += len(part)
    if kept:
        yield b"".join(kept)


def _stamp(file: int) -> tuple[int, int]:
    facts = os.fstat(file)
    return facts.st_size, facts.st_mtime_ns
