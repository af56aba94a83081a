"""Files of models that lie here, as they were at a deployment: each once, by what is in it.

    models/SHA256     releases have it as a hard link, and it goes with the last of them

Nothing is copied where the file system can share blocks (Btrfs, XFS). A hard link to the file
itself would cost nothing either, but training that writes to it would write to all revisions.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlfunc.cache import holding
from mlfunc.layers import reading
from mlfunc.layers.tree import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.layers.hashes import Hashes
    from mlfunc.supervisor.home import Home

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_UNFINISHED = ".unfinished-"
_READ_ONLY = 0o400


@dataclass(frozen=True)
class Kept:
    """A file that is kept, and how many bytes were written for that."""

    sha256: str
    copied: int


def keep(
    home: Home, path: Path, hashes: Hashes, progress: Callable[[int], None] = lambda _: None
) -> Kept:
    """Have a file as it is now, from now on; it is read once, or not at all where that is known.

    Until this program ends, what it has kept stays, whether or not a release has it.

    Raises:
        OSError: it cannot be read, or written.
        MlfuncError: it changed meanwhile.

    """
    holding.hold(home.models)
    home.models.mkdir(mode=0o700, parents=True, exist_ok=True)
    size, known = path.stat().st_size, hashes.known(path)
    if known and _is_there(home, known, size):
        progress(size)
        return Kept(known, 0)
    with _unfinished(home) as part:
        with _unchanged(path):
            sha256, copied = _taken(path, part, hashes, progress)
        if _is_there(home, sha256, size):
            return Kept(sha256, 0)
        part.chmod(_READ_ONLY)
        part.replace(place(home, sha256))
    return Kept(sha256, copied)


def place(home: Home, sha256: str) -> Path:
    """Where a file is kept."""
    return home.models / sha256


def prune(home: Home) -> None:
    """Remove those that no release has; none while a deployment may be about to."""
    if not home.models.is_dir():
        return
    with holding.alone(home.models) as nobody:
        for path in home.models.iterdir() if nobody else ():
            if path.stat().st_nlink == 1:
                path.unlink()


def _taken(
    path: Path, part: Path, hashes: Hashes, progress: Callable[[int], None]
) -> tuple[str, int]:
    """The digest of a file that is then in `part`, and the bytes that were copied."""
    size = path.stat().st_size
    if _shares(path, part):
        sha256 = hashes.of(path)
        progress(size)
        return sha256, 0
    if size > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sha256 = hashes.of(path, partial(_copy, part, progress))
    if not part.exists():  # its digest was known
        _copy(part, progress, path, size)
    return sha256, size


def _shares(path: Path, part: Path) -> bool:
    """Whether the file system has made one of the same blocks."""
    with path.open("rb") as source, part.open("xb") as file:
        try:
            fcntl.ioctl(file, _FICLONE, source.fileno())
        except OSError:  # each has its own errno for that it cannot
            part.unlink()
            return False
    return True


def _copy(part: Path, progress: Callable[[int], None], path: Path, size: int) -> str:
    """Its digest: both in one pass."""
    digest = hashlib.sha256()
    with part.open("xb") as file:
        for piece in reading.read((Range(path, 0, size),)):
            digest.update(piece)
            file.write(piece)
            progress(len(piece))
        file.flush()
        os.fsync(file.fileno())  # its name is to be true after a power cut, too
    return digest.hexdigest()


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    before = path.stat()
    yield
    after = path.stat()
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise reading.changed(path)


def _is_there(home: Home, sha256: str, size: int) -> bool:
    try:
        return place(home, sha256).stat().st_size == size
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _unfinished(home: Home) -> Iterator[Path]:
    part = home.models / f"{_UNFINISHED}{secrets.token_hex(8)}"
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
