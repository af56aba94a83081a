"""Objects as a cluster keeps them, here in memory: each change has a version, and is told.

What a cluster's API server does of itself is done here: uid, creationTimestamp, resourceVersion,
generation (which grows with `spec` alone), and what is owned goes with its owner.
"""

from __future__ import annotations

import datetime
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlfunc.cluster import kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]
Happening = Literal["ADDED", "MODIFIED", "DELETED"]

_REMEMBERED = 10_000  # changes, for those who watch


class Forgotten(Exception):
    """The changes since then are not known any more."""


@dataclass(frozen=True)
class Change:
    """What has become of an object; `version` is of all objects, and grows."""

    version: int
    happening: Happening
    kind: Kind
    object: Object


class Objects:
    """All of them. What is returned is not to be changed: write another."""

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[tuple[Kind, str, str], Object] = {}
        self._changes: deque[Change] = deque(maxlen=_REMEMBERED)
        self._listeners: list[Callable[[Change], None]] = []

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One, if it is there; `namespace` is empty for a kind without."""
        return self._objects.get((kind, namespace, name))

    def list(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Those of a namespace, or all, by name."""
        found = [
            (at, each)
            for at, each in self._objects.items()
            if at[0] == kind and namespace in (None, at[1])
        ]
        return [each for _, each in sorted(found, key=lambda pair: pair[0][1:])]

    def write(self, wanted: Object) -> Object:
        """Make or replace one; what comes back is as it is kept. The same again is no change."""
        at = _at(wanted)
        before = self._objects.get(at)
        after = _succeeding(before, wanted)
        if before is not None and _content(before) == _content(after):
            return before
        return self._keep(at, after, "MODIFIED" if before else "ADDED")

    def write_status(self, kind: Kind, namespace: str, name: str, status: Object) -> Object | None:
        """Have an object say so of itself; None: it is gone."""
        found = self.get(kind, namespace, name)
        return None if found is None else self.write({**found, "status": status})

    def remove(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Take one away, and all that it owns; what it was."""
        found = self._objects.pop((kind, namespace, name), None)
        if found is None:
            return None
        self._tell("DELETED", kind, found)
        for at, each in list(self._objects.items()):
            if found["metadata"]["uid"] in _owners(each):
                self.remove(*at)
        return found

    def since(self, version: int) -> list[Change]:
        """What has changed after that.

        Raises:
            Forgotten: too much has.

        """
        if self._changes and version < self._changes[0].version - 1:
            raise Forgotten
        return [each for each in self._changes if each.version > version]

    def listen(self, tell: Callable[[Change], None]) -> Callable[[], None]:
        """Have this called with each change, on the thread that makes it; what ends that."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)

    def _keep(self, at: tuple[Kind, str, str], after: Object, happening: Happening) -> Object:
        versioned = {**after["metadata"], "resourceVersion": str(self.version + 1)}
        kept = self._objects[at] = {**after, "metadata": versioned}
        self._tell(happening, at[0], kept)
        return kept

    def _tell(self, happening: Happening, kind: Kind, found: Object) -> None:
        self.version += 1
        change = Change(self.version, happening, kind, found)
        self._changes.append(change)
        for tell in list(self._listeners):
            tell(change)


def _at(wanted: Object) -> tuple[Kind, str, str]:
    meta = wanted["metadata"]
    return kinds.of(wanted), meta.get("namespace", ""), meta["name"]


def _succeeding(before: Object | None, wanted: Object) -> Object:
    """With what an API server adds of itself."""
    if before is None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        own: Object = {"uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1}
    else:
        kept = before["metadata"]
        own = {name: kept[name] for name in ("uid", "creationTimestamp", "generation")}
        own["generation"] += int(before.get("spec") != wanted.get("spec"))
    return {**wanted, "metadata": {**wanted["metadata"], **own}}


def _content(found: Object) -> Object:
    meta = {key: each for key, each in found["metadata"].items() if key != "resourceVersion"}
    return {**found, "metadata": meta}


def _owners(found: Object) -> list[str]:
    return [each["uid"] for each in found["metadata"].get("ownerReferences") or ()]
