"""Digests of files, remembered while the files stay as they are."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError
from mlfunc.layers import reading
from mlfunc.layers.tree import Range

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mlfunc.layers.database import Database

# A file that changes twice within one tick of its file system's clock looks as after the first: as
# git's racy entries. FAT's clock ticks every 2 s; one that tells parts of a second is the kernel's,
# whose tick is 10 ms at the longest (HZ=100): twice that, here.
_SECOND_NS = 10**9
_COARSE_NS = 2 * _SECOND_NS
_FINE_NS = _SECOND_NS // 50
_THREADS = 8


class Hashes:
    """The SHA-256 of files, looked up by what `stat` says of them, and else worked out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, path: Path) -> str | None:
        """Of one that need not be read."""
        return self._known(path.stat())

    def of(self, path: Path, read: Callable[[Path, int], str] | None = None) -> str:
        """Of one file, in hexadecimal; `read` works it out, of so many bytes, if it is not known.

        Raises:
            MlfuncError: it cannot be read, or changed meanwhile.

        """
        try:
            before = path.stat()
            return self._known(before) or self._worked_out(path, before, read or _sha256)
        except OSError as error:
            raise MlfuncError(f"{path} cannot be read: {error.strerror}") from error

    def of_all(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Of many files at once, in threads.

        Raises:
            MlfuncError: one cannot be read, or changed meanwhile.

        """
        each = list(paths)
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(each, pool.map(self.of, each), strict=True))

    def _known(self, facts: os.stat_result) -> str | None:
        query = "SELECT sha256 FROM files WHERE file = ? AND stamp = ?"
        found = self._database.rows(query, _file(facts), _stamp(facts))
        return found[0][0] if found else None

    def _worked_out(
        self, path: Path, before: os.stat_result, read: Callable[[Path, int], str]
    ) -> str:
        began = time.time_ns()
        sha256 = read(path, before.st_size)
        after = path.stat()
        if _stamp(after) != _stamp(before):
            raise reading.changed(path)
        if max(after.st_mtime_ns, after.st_ctime_ns) < began - _tick(after):
            query = "INSERT OR REPLACE INTO files VALUES (?, ?, ?)"
            self._database.rows(query, _file(after), _stamp(after), sha256)
        return sha256


def _tick(facts: os.stat_result) -> int:
    """The longest that a change may stay unseen, in nanoseconds. The time of a file's last change
    of any kind is the system's own: nobody can have rounded it.
    """
    return _FINE_NS if facts.st_ctime_ns % _SECOND_NS else _COARSE_NS


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    for piece in reading.read((Range(path, 0, size),)):
        digest.update(piece)
    return digest.hexdigest()


def _file(facts: os.stat_result) -> str:
    return f"{facts.st_dev}:{facts.st_ino}"


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}"
