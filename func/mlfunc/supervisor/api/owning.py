"""Whose a field is: sets of fields, as `metadata.managedFields` has them. Pure.

A path is a tuple of steps: `f:name` into a map, `k:{"name":"x"}` to an item of a list that has a
key. What has no steps within is one field: texts and numbers, and lists and maps without keys.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Object = dict[str, Any]
Path = tuple[str, ...]
Fields = frozenset[Path]

ABSENT: Any = object()

# Of the schemas of Knative 1.23 and Kubernetes: by what the items of a list are told apart; all
# other lists are replaced whole, as are these maps.
_KEYS = {"volumes": "name", "imagePullSecrets": "name", "ownerReferences": "uid"}
_WHOLE = frozenset({"nodeSelector", "configMap", "secret"})


def of(found: Object) -> Fields:
    """The fields that an object names."""
    return frozenset(_walk(found, ())) - {()}


def _walk(value: Any, path: Path) -> Iterator[Path]:
    key = key_of(value, path)
    if isinstance(value, dict) and value and not is_whole(path):
        for key, each in value.items():
            yield from _walk(each, (*path, f"f:{key}"))
    elif key and value:
        for each in value:
            item = (*path, step(each, key))
            yield item
            yield from _walk(each, item)
    else:
        yield path


def is_whole(path: Path) -> bool:
    """Whether this map is one field, whatever it has."""
    return bool(path) and path[-1][:2] == "f:" and path[-1][2:] in _WHOLE


def key_of(value: Any, path: Path) -> str:
    """By what the items of a list are told apart, if they are."""
    key = _KEYS.get(path[-1][2:], "") if path else ""
    if not (key and isinstance(value, list)):
        return ""
    told = [each.get(key) if isinstance(each, dict) else None for each in value]
    apart = all(isinstance(each, str) for each in told) and len(set(told)) == len(told)
    return key if apart else ""


def is_key(path: Path) -> bool:
    """Whether it is the key of an item."""
    *_, item, name = ("", "", *path)
    return item.startswith("k:") and name[2:] in json.loads(item[2:])


def step(item: Object, key: str) -> str:
    """To an item of a list."""
    return f"k:{json.dumps({key: item.get(key)}, separators=(',', ':'))}"


def value(found: Any, path: Path) -> Any:
    """What is there; ABSENT: nothing."""
    for each in path:
        found = _into(found, each)
    return found


def _into(found: Any, taken: str) -> Any:
    if taken.startswith("f:"):
        return found.get(taken[2:], ABSENT) if isinstance(found, dict) else ABSENT
    ((key, wanted),) = json.loads(taken[2:]).items()
    items = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else ()
    return next((each for each in items if each.get(key) == wanted), ABSENT)


def without(found: Any, path: Path, kept: Collection[Path], above: Path = ()) -> Any:
    """An object without a field, and without the maps and lists that are empty then.

    Those that are `kept`, and the first ones, stay.
    """
    inner = _into(found, path[0])
    if inner is ABSENT:
        return found
    here = (*above, path[0])
    left = ABSENT if len(path) == 1 else without(inner, path[1:], kept, here)
    if left in ({}, []) and left != inner and above and here not in kept:
        left = ABSENT
    return _replaced(found, path[0], inner, left)


def _replaced(found: Any, taken: str, inner: Any, left: Any) -> Any:
    if isinstance(found, list):
        items = [left if each is inner else each for each in found]
        return [each for each in items if each is not ABSENT]
    changed = {**found, taken[2:]: left}
    return {key: each for key, each in changed.items() if each is not ABSENT}


def encode(fields: Fields) -> Object:
    """As FieldsV1."""
    found: Object = {}
    for path in sorted(fields):
        node = found
        for each in path:
            node = node.setdefault(each, {})
        node["."] = {}
    return _tidy(found)


def _tidy(node: Object) -> Object:
    """A field with nothing within needs no dot."""
    return {} if set(node) == {"."} else {key: _tidy(each) for key, each in node.items()}


def decode(node: Object, path: Path = ()) -> Fields:
    """The same, read."""
    if not node:
        return frozenset({path} if path else ())
    within = [decode(each, (*path, key)) for key, each in node.items() if key != "."]
    own = {path} if "." in node else set()
    return frozenset(own).union(*within)


def shown(path: Path) -> str:
    """As people read it: `.spec.volumes[name="x"].secret`."""
    return "".join(_shown(each) for each in path)


def _shown(taken: str) -> str:
    if taken.startswith("f:"):
        return f".{taken[2:]}"
    ((key, wanted),) = json.loads(taken[2:]).items()
    return f"[{key}={json.dumps(wanted)}]"
