"""What a deployment would change: objects as they would be, beside objects as they are. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Object = dict[str, Any]
Action = Literal["create", "update", "delete", "keep"]

_MISSING = object()
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


@dataclass(frozen=True)
class Difference:
    """A field that changes; `path` as in spec.template.spec.timeoutSeconds, None: not there."""

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

    def of(self, kind: str) -> Change | None:
        """The first change of an object of a kind."""
        return next((change for change in self.changes if change.kind == kind), None)


def change(manifest: Object, live: Object | None, after: Object) -> Change:
    """What applying `manifest` does, where the API server says that it leads to `after`."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if live is None:
        return Change("create", kind, name, manifest)
    found = tuple(differences(_told(live), _told(after)))
    return Change("update" if found else "keep", kind, name, manifest, found)


def removal(live: Object) -> Change:
    """What is there, and is not wanted any more."""
    return Change("delete", live["kind"], live["metadata"]["name"])


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The fields that differ, deepest first named; items of a list that have names go by them."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            inner = before.get(key, _MISSING), after.get(key, _MISSING)
            yield from differences(*inner, _within(path, str(key)))
    elif _is_list_of_objects(before) and _is_list_of_objects(after):
        yield from _differences_of_lists(before, after, path)
    elif before is not after and before != after:
        yield Difference(path, _or_none(before), _or_none(after))


def shown(value: Any) -> str:
    """A value on one line: of a digest, what people quote."""
    return _DIGEST.sub(r"\1", value if isinstance(value, str) else json.dumps(value))


def _differences_of_lists(
    before: Sequence[Object], after: Sequence[Object], path: str
) -> Iterator[Difference]:
    old, new = _by_name(before), _by_name(after)
    for key in dict.fromkeys((*old, *new)):
        yield from differences(old.get(key, _MISSING), new.get(key, _MISSING), f"{path}[{key}]")


def _by_name(items: Sequence[Object]) -> dict[str | int, Object]:
    names = [item.get("name") for item in items]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {item["name"]: item for item in items}
    return dict(enumerate(items))


def _is_list_of_objects(value: Any) -> TypeGuard[list[Object]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _told(found: Object) -> Object:
    """What people write of an object: no status, and of its metadata labels and annotations."""
    meta = found["metadata"]
    kept = {key: meta[key] for key in ("labels", "annotations") if meta.get(key)}
    return {"metadata": kept, **{key: found[key] for key in ("spec",) if key in found}}


def _within(path: str, key: str) -> str:
    """A key with dots, such as an annotation's, is told from what it lies in."""
    if "." in key:
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _or_none(value: Any) -> Any:
    return None if value is _MISSING else value
