"""The objects of a cluster that somebody follows, as a list and the events of a watch tell them.

Pure: nothing here asks the API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]


class Mirror:
    """Objects of one kind; `version` is where a watch goes on, None: they have to be listed."""

    def __init__(self, kind: Kind) -> None:
        self.version: str | None = None
        self._kind = kind
        self._objects: dict[tuple[str, str], Object] = {}

    @property
    def objects(self) -> tuple[Object, ...]:
        """All of them, those that came last at the end."""
        return tuple(self._objects.values())

    def replace(self, listing: Object) -> bool:
        """Take what a list says; whether it is anything new."""
        found = {_key(each): whole(each, self._kind) for each in listing["items"]}
        changed = found != self._objects
        self._objects = found
        self.version = listing["metadata"]["resourceVersion"]
        return changed

    def change(self, event: Object) -> bool:
        """Take what an event of a watch says; whether it is anything new.

        Raises:
            KeyError: it is no event; nothing of it has been taken.

        """
        told, key = event["object"], _key(event["object"])
        version: str = told["metadata"]["resourceVersion"]
        before = self._objects.get(key)
        if event["type"] in ("ADDED", "MODIFIED"):
            self._objects[key] = told
        elif event["type"] == "DELETED":
            self._objects.pop(key, None)
        # Bookmarks say no more than that nothing has happened up to their version.
        self.version = version
        return before != self._objects.get(key)


def whole(item: Object, kind: Kind) -> Object:
    """An item of a list, which says neither its kind nor its version, with both."""
    return {"apiVersion": kind.api_version, "kind": kind.name, **item}


def _key(found: Object) -> tuple[str, str]:
    # A bookmark has no name.
    meta = found["metadata"]
    return meta.get("namespace", ""), meta.get("name", "")
