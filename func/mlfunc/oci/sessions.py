"""What an upload needs to be gone on with after a break, or by another program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Sessions(Protocol):
    """Where uploads that are under way can be gone on with, kept beyond the end of a program."""

    def get(self, registry: str, repository: str, digest: str) -> str | None:
        """The address of an unfinished upload."""
        ...

    def put(self, registry: str, repository: str, digest: str, location: str) -> None:
        """Keep it; there is one for a blob."""
        ...

    def forget(self, registry: str, repository: str, digest: str) -> None:
        """It is finished, or of no use."""
        ...


@dataclass
class Unkept:
    """Sessions that end with the program."""

    locations: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def get(self, registry: str, repository: str, digest: str) -> str | None:
        """The address of an unfinished upload."""
        return self.locations.get((registry, repository, digest))

    def put(self, registry: str, repository: str, digest: str, location: str) -> None:
        """Keep it."""
        self.locations[registry, repository, digest] = location

    def forget(self, registry: str, repository: str, digest: str) -> None:
        """Let it go."""
        self.locations.pop((registry, repository, digest), None)
