"""What builds on this machine have made and learnt, so that the next one need not.

    obtain, open        key of a layer -> its digests, made if need be; these -> its bytes
    blobs, hashes       the compressed layers themselves; digests of files here
    sessions, origins   uploads that broke off; repositories that have a blob already
    bases, images       what was found out of base images; what was built last

All of it is a cache: without, a build takes longer and gives the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from typing import TYPE_CHECKING

from mlfunc import paths
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.layers import locks
from mlfunc.layers.blobs import Blobs
from mlfunc.layers.database import Database
from mlfunc.layers.hashes import Hashes
from mlfunc.layers.learnt import Bases, Images, Origins, Sessions
from mlfunc.layers.making import MEDIA_TYPES, Made, compression_of, make
from mlfunc.layers.tar import TarBlob, archive
from mlfunc.oci.content import LAYER, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mlfunc.layers.making import Compression
    from mlfunc.layers.tree import Tree
    from mlfunc.oci.content import Blob
    from mlfunc.proc import Cancellation

_LIMIT = "MLFUNC_CACHE_SIZE"
_DEFAULT_LIMIT = "20GB"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_FORGOTTEN_AFTER = 180 * 24 * 3600.0


class Different(MlfuncError):
    """A layer that was made again is not what it was: other tools made it, or its files changed."""


class Store:
    """The memory of builds; threads and programs may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = Database(folder / "store.db")
        self.blobs = Blobs(folder / "blobs")
        self.hashes = Hashes(self._database)
        self.sessions = Sessions(self._database)
        self.origins = Origins(self._database)
        self.bases = Bases(self._database)
        self.images = Images(self._database)

    def close(self) -> None:
        """Let go of all that is held."""
        self.blobs.close()
        self._database.close()

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """An empty folder until the block ends; it goes too when this program is killed."""
        return self.blobs.scratch()

    def made(self, key: str, compression: Compression) -> Made | None:
        """What a layer was when it was made here last. Its blob may be gone."""
        media_type = MEDIA_TYPES[compression]
        query = "UPDATE made SET used = ? WHERE (key, media_type) = (?, ?)"
        answer = f"{query} RETURNING diff_id, digest, size"
        for diff_id, digest, size in self._database.rows(answer, time.time(), key, media_type):
            return Made(diff_id, Descriptor(media_type, digest, size))
        return None

    def remember(self, key: str, made: Made) -> None:
        """Keep what a layer is."""
        blob = made.descriptor
        query = "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?)"
        values = (key, blob.media_type, made.diff_id, blob.digest, blob.size, time.time())
        self._database.rows(query, *values)

    def locked(
        self,
        key: str,
        waits: Callable[[], None] = lambda: None,
        cancellation: Cancellation | None = None,
    ) -> contextlib.AbstractContextManager[None]:
        """Only one at a time works on a key; `waits` is called while another does."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return locks.locked(self._folder / "locks" / name, waits, cancellation)

    def obtain(
        self,
        key: str,
        tree: Callable[[], Tree],
        compression: Compression,
        progress: Callable[[int], None] = lambda _: None,
        cancellation: Cancellation | None = None,
    ) -> Made:
        """A layer as it was made here before, else made now: once, however many want it.

        Raises:
            MlfuncError: a file cannot be read, or changed meanwhile.
            Cancelled: it was broken off while waiting for another that makes it.

        """
        with self.locked(key, cancellation=cancellation):
            if known := self.made(key, compression):
                return known
            made = make(tree(), compression, self.blobs, progress)
            self.remember(key, made)
            return made

    def open(self, key: str, made: Made, tree: Callable[[], Tree]) -> Blob:
        """The bytes of a layer: those kept, else those of the tree, which is asked for only then.

        Raises:
            Different: it came out as another layer, which is remembered from now on.
            MlfuncError: a file cannot be read, or changed meanwhile.

        """
        if kept := self.blobs.find(made.descriptor):
            return kept
        if made.descriptor.media_type == LAYER:
            return TarBlob(made.descriptor, archive(tree()))
        again = make(tree(), compression_of(made), self.blobs)
        if found := self.blobs.find(made.descriptor):
            return found
        # Known from now on as what it is: the next build does not stop here.
        self.remember(key, again)
        message = f"layer {made.descriptor.digest} was made again, and is {again.descriptor.digest}"
        raise Different(message, "build again: what it is made of, or with, has changed")

    def prune(self, limit: int) -> int:
        """Keep at most `limit` bytes of blobs, and forget layers that nobody has asked for lately.

        Returns how many bytes went.
        """
        self._database.rows("DELETE FROM made WHERE used < ?", time.time() - _FORGOTTEN_AFTER)
        return self.blobs.prune(limit)


def place() -> Path:
    """The folder of the one of this user."""
    return paths.cache() / "build"


@contextlib.contextmanager
def opened(folder: Path | None = None) -> Iterator[Store]:
    """The store of this user, or the one in a folder, until the block ends.

    Raises:
        MlfuncError: a later mlfunc wrote it, or it cannot be written.

    """
    store = Store(folder or place())
    try:
        yield store
    finally:
        store.close()


def limit(environ: Mapping[str, str] = os.environ) -> int:
    """How many bytes of blobs are kept: `$MLFUNC_CACHE_SIZE`, such as 500MB, else 20 GB.

    Raises:
        UsageError: it is no size.

    """
    given = environ.get(_LIMIT) or _DEFAULT_LIMIT
    match = _SIZE.fullmatch(given.strip())
    if match is None:
        raise UsageError(f"{_LIMIT}={given} is no size", "write it like 500MB or 20GB")
    return int(float(match[1]) * _UNITS[match[2].lower()])
