"""What builds on this machine have made and learnt, so that the next one need not.

made, remember       key of a layer -> its digests
blobs                the compressed layers themselves
hashes               digests of files here
sessions, origins    uploads that broke off; repositories that have a blob already
facts, images        what was read from base images; what was built last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc import paths
from mlfunc.errors import UsageError
from mlfunc.layers import locks
from mlfunc.layers.blobs import Blobs
from mlfunc.layers.database import Database
from mlfunc.layers.hashes import Hashes
from mlfunc.layers.making import MEDIA_TYPES, Made, make
from mlfunc.oci.content import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mlfunc.layers.making import Compression
    from mlfunc.layers.tree import Tree
    from mlfunc.proc import Cancellation

_LIMIT = "MLFUNC_CACHE_SIZE"
_DEFAULT_LIMIT = "20GB"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_FORGOTTEN_AFTER = 180 * 24 * 3600.0


@dataclass(frozen=True)
class Built:
    """An image that was built: its manifest and config as bytes, and the plan it came from."""

    manifest: bytes
    config: bytes
    plan: bytes


class Sessions:
    """Uploads that broke off: where a registry goes on with them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, registry: str, repository: str, digest: str) -> str | None:
        """The location of an upload that was begun."""
        query = "SELECT location FROM sessions WHERE (registry, repository, digest) = (?, ?, ?)"
        found = self._database.rows(query, registry, repository, digest)
        return found[0][0] if found else None

    def put(self, registry: str, repository: str, digest: str, location: str) -> None:
        """Remember where one goes on."""
        query = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)"
        self._database.rows(query, registry, repository, digest, location)

    def forget(self, registry: str, repository: str, digest: str) -> None:
        """It is done, or the registry no longer knows it."""
        query = "DELETE FROM sessions WHERE (registry, repository, digest) = (?, ?, ?)"
        self._database.rows(query, registry, repository, digest)


class Store:
    """The memory of builds; threads and programs may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = Database(folder / "store.db")
        self.blobs = Blobs(folder / "blobs")
        self.hashes = Hashes(self._database)
        self.sessions = Sessions(self._database)

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

    def origins(self, registry: str, digest: str) -> tuple[str, ...]:
        """Repositories of a registry that are known to have a blob."""
        query = "SELECT repository FROM origins WHERE (registry, digest) = (?, ?)"
        return tuple(name for (name,) in self._database.rows(query, registry, digest))

    def saw(self, registry: str, repository: str, *digests: str) -> None:
        """Remember that a repository has these blobs."""
        rows = [(registry, digest, repository) for digest in digests]
        self._database.many("INSERT OR IGNORE INTO origins VALUES (?, ?, ?)", rows)

    def missed(self, registry: str, repository: str, digest: str) -> None:
        """It does not have it any more."""
        query = "DELETE FROM origins WHERE (registry, repository, digest) = (?, ?, ?)"
        self._database.rows(query, registry, repository, digest)

    def facts(self, digest: str) -> dict[str, Any] | None:
        """What was found out of a base image, by the digest of its manifest."""
        found = self._database.rows("SELECT facts FROM bases WHERE digest = ?", digest)
        return json.loads(found[0][0]) if found else None

    def remember_facts(self, digest: str, facts: Mapping[str, Any]) -> None:
        """Keep it."""
        query = "INSERT OR REPLACE INTO bases VALUES (?, ?)"
        self._database.rows(query, digest, json.dumps(facts))

    def image(self, name: str) -> Built | None:
        """What was built last under a name."""
        query = "SELECT manifest, config, plan FROM images WHERE name = ?"
        found = self._database.rows(query, name)
        return Built(*found[0]) if found else None

    def images(self) -> tuple[str, ...]:
        """The names of what was built here, latest first."""
        query = "SELECT name FROM images ORDER BY built DESC"
        return tuple(name for (name,) in self._database.rows(query))

    def remember_image(self, name: str, built: Built) -> None:
        """Keep it."""
        query = "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)"
        values = (name, built.manifest, built.config, built.plan, time.time())
        self._database.rows(query, *values)

    def prune(self, limit: int) -> int:
        """Keep at most `limit` bytes of blobs, and forget layers that nobody has asked for lately.

        Returns how many bytes went.
        """
        self._database.rows("DELETE FROM made WHERE used < ?", time.time() - _FORGOTTEN_AFTER)
        return self.blobs.prune(limit)


@contextlib.contextmanager
def opened(folder: Path | None = None) -> Iterator[Store]:
    """The store of this user, or the one in a folder, until the block ends.

    Raises:
        MlfuncError: a later mlfunc wrote it, or it cannot be written.

    """
    store = Store(folder or paths.cache() / "build")
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
