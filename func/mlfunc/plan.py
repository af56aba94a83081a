"""What a deployment would change: objects wanted beside objects that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Object = dict[str, Any]
Action = Literal["create", "update", "delete", "keep"]


@dataclass(frozen=True)
class Difference:
    """A field that would change; `path` as in spec.template.spec.timeoutSeconds."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """What happens to one object."""

    action: Action
    kind: str
    name: str
    manifest: Object | None = None  # what is applied
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All changes, in the order in which they are made."""

    changes: tuple[Change, ...]

    @property
    def changes_nothing(self) -> bool:
        """Whether all is as it should be."""
        return all(change.action == "keep" for change in self.changes)
