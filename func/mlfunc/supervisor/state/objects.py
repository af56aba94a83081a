"""Objects as a cluster keeps them, in memory and in a file: each change has a version, and is told.

What a cluster's API server does of itself is done here: uid, creationTimestamp, resourceVersion,
generation (which grows with `spec` alone), and what is owned goes with its owner.
"""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlfunc.cluster import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.state.keeping import At

Object = dict[str, Any]
Happening = Literal["ADDED", "MODIFIED", "DELETED"]

_REMEMBERED = 10_000  # changes, for those who watch


class Forgotten(Exception):
    """The changes since then are not known any more."""


class Gone(Exception):
    """What was to be changed has gone meanwhile."""


@dataclass(frozen=True)
class Change:
    """What has become of an object; `version` is of all objects, and grows by one."""

    version: int
    happening: Happening
    kind: Kind
    object: Object
    before: Object | None = None  # as it was, unless it is new


class Keeping(Protocol):
    """What outlives this program: `state.keeping`."""

    objects: dict[At, Object]
    first_version: int

    def put(self, changed: Mapping[At, Object | None], version: int) -> None:
        """Keep these so, soon, and None no more; `version` is the last that has been told."""
        ...

    async def keep(self, changed: Mapping[At, Object | None]) -> None:
        """Likewise, before it returns, with all that was put before."""
        ...


class Objects:
    """All of them. What is returned is not to be changed: write another."""

    def __init__(self, kept: Keeping | None = None) -> None:
        self._kept = kept
        self._objects: dict[At, Object] = kept.objects if kept else {}
        self._names: defaultdict[Kind, set[tuple[str, str]]] = defaultdict(set)
        for kind, *name in self._objects:
            self._names[kind].add((name[0], name[1]))
        self.version = kept.first_version if kept else 1
        self._changes: deque[Change] = deque(maxlen=_REMEMBERED)
        self._known_since = self.version
        self._listeners: list[Callable[[Change], None]] = []
        self._untold: deque[Change] = deque()
        self._telling = False

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One, if it is there; `namespace` is empty for a kind without."""
        return self._objects.get((kind, namespace, name))

    def list(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Those of a namespace, or all, by name."""
        names = (each for each in self._names[kind] if namespace in (None, each[0]))
        return [self._objects[kind, *each] for each in sorted(names)]

    def write(self, wanted: Object) -> Object:
        """Make or replace one; what comes back is as it is kept. The same again is no change.

        This is for what is worked out here: it is on the disk soon after.
        """
        at = _at(wanted)
        before = self._objects.get(at)
        after = _succeeding(before, wanted)
        if before is not None and _content(before) == _content(after):
            return before
        return self._keep(at, before, _versioned(after, self.version + 1))

    async def commit(self, wanted: Object) -> Object:
        """The same for what somebody asks for: it is on the disk before anybody sees it.

        One at a time. What is said of an object meanwhile, stays said.

        Raises:
            Gone: it went meanwhile.
            MlfuncError: it cannot be kept; all is as it was.

        """
        at = _at(wanted)
        before = self._objects.get(at)
        after = _succeeding(before, wanted)
        if before is not None and _content(before) == _content(after):
            return before
        if self._kept:
            await self._kept.keep({at: _versioned(after, self.version + 1)})
        now = self._objects.get(at)
        if now is None and before is not None:
            raise Gone
        if now is not before:
            after = _succeeding(now, _saying(after, now))
        return self._keep(at, now, _versioned(after, self.version + 1))

    def preview(self, wanted: Object) -> Object:
        """What `write` would give; nothing is written."""
        before = self._objects.get(_at(wanted))
        after = _succeeding(before, wanted)
        return before if before is not None and _content(before) == _content(after) else after

    def write_status(self, kind: Kind, namespace: str, name: str, status: Object) -> Object | None:
        """Have an object say so of itself; None: it is gone."""
        found = self.get(kind, namespace, name)
        return None if found is None else self.write({**found, "status": status})

    def remove(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Take one away, and all that it owns; what it was."""
        found = self._objects.get((kind, namespace, name))
        if found is None:
            return None
        gone = self._with_owned((kind, namespace, name))
        for at in gone:
            before = self._objects.pop(at)
            self._names[at[0]].discard(at[1:])
            told = _versioned(before, self.version + 1)
            self._remember(Change(self.version + 1, "DELETED", at[0], told, before))
        if self._kept:
            self._kept.put(dict.fromkeys(gone), self.version)
        self._tell()
        return found

    async def commit_removal(self, kind: Kind, namespace: str, name: str) -> None:
        """The same for what somebody asks for: the disk has it no more before anybody sees that.

        Raises:
            MlfuncError: that cannot be kept; all is as it was.

        """
        if self._kept:
            await self._kept.keep(dict.fromkeys(self._with_owned((kind, namespace, name))))
        self.remove(kind, namespace, name)

    def since(self, version: int) -> Sequence[Change]:
        """What has changed after that.

        Raises:
            Forgotten: too much has, or the version is of another time.

        """
        if not self._known_since <= version <= self.version:
            raise Forgotten
        newer = itertools.takewhile(lambda each: each.version > version, reversed(self._changes))
        return [*newer][::-1]

    def listen(self, tell: Callable[[Change], None]) -> Callable[[], None]:
        """Have this called with each change, on the thread that makes it; what ends that.

        All hear of the changes in their order: of one that is made meanwhile, afterwards.
        """
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)

    def _keep(self, at: At, before: Object | None, after: Object) -> Object:
        self._objects[at] = after
        self._names[at[0]].add(at[1:])
        happening: Happening = "MODIFIED" if before else "ADDED"
        self._remember(Change(self.version + 1, happening, at[0], after, before))
        if self._kept:
            self._kept.put({at: after}, self.version)
        self._tell()
        return after

    def _with_owned(self, at: At) -> Sequence[At]:
        """An object and all that goes with it, owners first."""
        gone = [at]
        for owner in gone:  # it grows meanwhile
            uid = self._objects[owner]["metadata"]["uid"]
            gone += [
                each
                for each, found in self._objects.items()
                if uid in _owners(found) and each not in gone
            ]
        return gone

    def _remember(self, change: Change) -> None:
        self.version = change.version
        if len(self._changes) == self._changes.maxlen:
            self._known_since = self._changes[0].version
        self._changes.append(change)
        self._untold.append(change)

    def _tell(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                change = self._untold.popleft()
                for tell in list(self._listeners):
                    tell(change)
        finally:
            self._telling = False


def _at(wanted: Object) -> At:
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


def _saying(wanted: Object, now: Object | None) -> Object:
    """With the status that it has now."""
    bare = {key: each for key, each in wanted.items() if key != "status"}
    return {**bare, "status": now["status"]} if now and "status" in now else bare


def _versioned(found: Object, version: int) -> Object:
    return {**found, "metadata": {**found["metadata"], "resourceVersion": str(version)}}


def _content(found: Object) -> Object:
    meta = {key: each for key, each in found["metadata"].items() if key != "resourceVersion"}
    return {**found, "metadata": meta}


def _owners(found: Object) -> list[str]:
    return [each["uid"] for each in found["metadata"].get("ownerReferences") or ()]
