"""What builds have learnt of registries, of base images, and of what they built themselves."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.layers.database import Database


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


class Origins:
    """Which repositories of a registry have a blob: it can be mounted from there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, registry: str, digest: str) -> tuple[str, ...]:
        """Repositories that had it when last seen."""
        query = "SELECT repository FROM origins WHERE (registry, digest) = (?, ?)"
        return tuple(name for (name,) in self._database.rows(query, registry, digest))

    def add(self, registry: str, repository: str, *digests: str) -> None:
        """These were seen there."""
        rows = [(registry, digest, repository) for digest in digests]
        self._database.many("INSERT OR IGNORE INTO origins VALUES (?, ?, ?)", rows)

    def remove(self, registry: str, repository: str, digest: str) -> None:
        """It is not there any more."""
        query = "DELETE FROM origins WHERE (registry, repository, digest) = (?, ?, ?)"
        self._database.rows(query, registry, repository, digest)


class Bases:
    """What was found out of base images, by the digests of their manifests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digest: str) -> dict[str, Any] | None:
        """What is known."""
        found = self._database.rows("SELECT facts FROM bases WHERE digest = ?", digest)
        facts: dict[str, Any] | None = json.loads(found[0][0]) if found else None
        return facts

    def put(self, digest: str, facts: Mapping[str, Any]) -> None:
        """Keep it."""
        query = "INSERT OR REPLACE INTO bases VALUES (?, ?)"
        self._database.rows(query, digest, json.dumps(facts))


@dataclass(frozen=True)
class Built:
    """An image that was built: its manifest and its configuration as bytes."""

    manifest: bytes
    config: bytes
    at: float = 0.0  # when, in seconds since 1970


class Images:
    """What was built last, by the names of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Built | None:
        """What was built last under a name."""
        query = "SELECT manifest, config FROM images WHERE name = ?"
        found = self._database.rows(query, name)
        return Built(*found[0]) if found else None

    def put(self, name: str, built: Built) -> None:
        """Keep it in place of what was built before."""
        query = "INSERT OR REPLACE INTO images (name, manifest, config, built) VALUES (?, ?, ?, ?)"
        self._database.rows(query, name, built.manifest, built.config, time.time())

    def all(self) -> dict[str, Built]:
        """What was built last under each name."""
        found = self._database.rows("SELECT name, manifest, config, built FROM images")
        return {name: Built(*built) for name, *built in found}

    def forget(self, name: str) -> None:
        """As if nothing had been built under it."""
        self._database.rows("DELETE FROM images WHERE name = ?", name)

    def names(self) -> tuple[str, ...]:
        """All names, the one built last first."""
        query = "SELECT name FROM images ORDER BY built DESC"
        return tuple(name for (name,) in self._database.rows(query))
