"""Server-side apply: a manager owns the fields that it names; those it names no more go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlfunc.supervisor.api import owning, refusals
from mlfunc.supervisor.api.owning import ABSENT, Fields, Path

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]

# What says which object it is, or is the API server's own, belongs to nobody.
_NOBODYS = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
)


@dataclass(frozen=True)
class Manager:
    """Who changes an object, how, and now."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str
    time: str

    def is_of(self, entry: Object) -> bool:
        """Whether an entry of managedFields is this one's."""
        return (entry["manager"], entry["operation"]) == (self.name, self.operation)


@dataclass(frozen=True)
class _Owner:
    """An entry of managedFields, read."""

    entry: Object
    fields: Fields


def apply(live: Object | None, manifest: Object, manager: Manager, *, force: bool) -> Object:
    """An object as it is after a manager has applied a manifest.

    Raises:
        Refused: it would change fields of others, and `force` is not given.

    """
    before = live or {}
    wanted = _stripped(manifest)
    owners = _owners(before)
    own, others = _parted(owners, manager)
    merged = _merged(before, wanted, ())
    foreign = _conflicts(before, merged, others)
    if foreign and not force:
        raise refusals.conflicts(foreign_text(foreign))
    others = _bereft(others, {path for _, path in foreign})
    fields = owning.of(wanted)
    after = _dropped(merged, (own.fields if own else frozenset()) - fields, fields, others)
    after["metadata"] = {**after.get("metadata", {}), **_identity(manifest)}
    return _signed(after, own, fields, others, manager, changed=_body(after) != _body(before))


def update(live: Object | None, after: Object, manager: Manager) -> Object:
    """An object that a manager has changed otherwise: what it has changed is its own then."""
    before = live or {}
    own, others = _parted(_owners(before), manager)
    named, had = owning.of(_stripped(after)), owning.of(_stripped(before))
    changed = {
        path for path in named if owning.value(before, path) != owning.value(after, path)
    } | (had - named)
    kept = own.fields if own else frozenset()
    fields = frozenset(
        path for path in kept | changed if owning.value(after, path) is not ABSENT and path in named
    )
    return _signed(after, own, fields, _bereft(others, changed), manager, changed=bool(changed))


def foreign_text(foreign: Sequence[tuple[_Owner, Path]]) -> list[tuple[str, str]]:
    """Fields of others, as the API server tells of them."""
    return [(owning.shown(path), _who(owner.entry)) for owner, path in foreign]


def _who(entry: Object) -> str:
    name = f'"{entry["manager"]}"'
    if entry["operation"] == "Apply":
        return name
    return f"{name} using {entry['apiVersion']} at {entry['time']}"


def _stripped(found: Object) -> Object:
    """What of an object can be somebody's."""
    meta = {key: each for key, each in found.get("metadata", {}).items() if key not in _NOBODYS}
    body = {
        key: each
        for key, each in found.items()
        if key not in ("apiVersion", "kind", "metadata", "status")
    }
    stripped: Object = _without_nulls({"metadata": meta, **body} if meta else body)
    return stripped


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _identity(manifest: Object) -> Object:
    return {key: each for key, each in manifest["metadata"].items() if key in ("name", "namespace")}


def _body(found: Object) -> Object:
    meta = {key: each for key, each in found.get("metadata", {}).items() if key != "managedFields"}
    return {**found, "metadata": meta}


def _merged(live: Any, wanted: Any, path: Path) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict) and not owning.is_whole(path):
        merged = {
            key: _merged(live.get(key), each, (*path, f"f:{key}")) for key, each in wanted.items()
        }
        return {**live, **merged}
    key = owning.key_of(wanted, path)
    if key and owning.key_of(live, path):
        return _merged_items(live, wanted, path, key)
    return wanted


def _merged_items(live: Any, wanted: Any, path: Path, key: str) -> list[Object]:
    """Those that are wanted, in their order, and after them the others that are there."""
    there = {owning.step(each, key): each for each in live}
    named = {owning.step(each, key): each for each in wanted}
    merged = [_merged(there.get(at), each, (*path, at)) for at, each in named.items()]
    return merged + [each for at, each in there.items() if at not in named]


def _owners(found: Object) -> list[_Owner]:
    entries = found.get("metadata", {}).get("managedFields") or ()
    return [_Owner(each, owning.decode(each["fieldsV1"])) for each in entries]


def _parted(owners: Sequence[_Owner], manager: Manager) -> tuple[_Owner | None, list[_Owner]]:
    own = next((each for each in owners if manager.is_of(each.entry)), None)
    return own, [each for each in owners if each is not own]


def _conflicts(
    before: Object, after: Object, others: Sequence[_Owner]
) -> list[tuple[_Owner, Path]]:
    return [
        (owner, path)
        for owner in others
        for path in sorted(owner.fields)
        if _differs(owning.value(before, path), owning.value(after, path), path)
    ]


def _differs(before: Any, after: Any, path: Path) -> bool:
    """Of what has fields within, only whether it is there counts."""
    if isinstance(before, dict) and isinstance(after, dict) and not owning.is_whole(path):
        return False
    if owning.key_of(before, path) and owning.key_of(after, path):
        return False
    return bool(before != after)


def _bereft(owners: Sequence[_Owner], of: set[Path]) -> list[_Owner]:
    left = [_Owner(each.entry, each.fields - of) for each in owners]
    return [each for each in left if each.fields]


def _dropped(merged: Object, gone: Fields, fields: Fields, others: Sequence[_Owner]) -> Object:
    """Without what nobody names any more; an item goes whole, for its key says which it is."""
    kept = fields.union(*(each.fields for each in others))
    for path in sorted(gone, key=len):
        within = any(each[: len(path)] == path for each in kept)
        if not (within or owning.is_key(path)):
            merged = owning.without(merged, path, kept)
    return dict(merged)


def _signed(
    after: Object,
    own: _Owner | None,
    fields: Fields,
    others: Sequence[_Owner],
    manager: Manager,
    *,
    changed: bool,
) -> Object:
    """With who owns what; the time of an entry is that of its last change."""
    same = own is not None and own.fields == fields and not changed
    entries = [{**each.entry, "fieldsV1": owning.encode(each.fields)} for each in others]
    if own is not None and same:
        entries.append(own.entry)
    elif fields:
        entries.append(_entry(manager, fields))
    entries.sort(key=lambda each: (each["operation"], each["manager"]))
    return {**after, "metadata": {**after["metadata"], "managedFields": entries}}


def _entry(manager: Manager, fields: Fields) -> Object:
    return {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": owning.encode(fields),
    }
