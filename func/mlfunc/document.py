"""A YAML document on its way to a struct: complaints name the line, the key, and the likely one.

It knows nothing of functions: the struct it converts to says what is known and allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from mlfunc.errors import UsageError
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

S = TypeVar("S", bound=msgspec.Struct)
Path = tuple[str | int, ...]

_SEGMENT = re.compile(r"\.(?P<key>\w+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
_WHERE = re.compile(r" - at (?P<in_key>`key` in )?`\$(?P<path>[\w.\[\]]*)`\Z")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_GOT = re.compile(r"Expected `(?P<wanted>.*)`, got `(?P<got>\w+)`")
_BOUND = re.compile(r"Expected `(?:int|float)` (>=|>|<=|<) (\S+)")
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
_KEY_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}
_WORDS = {
    "object": "mapping",
    "array": "list",
    "null": "nothing",
    "str": "text",
    "int": "number",
    "float": "number",
}


@dataclass(frozen=True)
class Document:
    """What a file says, and where it says it."""

    name: str
    value: Any
    node: yaml.Node

    def convert(self, struct: type[S]) -> S:
        """The document as a struct.

        Raises:
            UsageError: it does not fit.

        """
        try:
            return msgspec.convert(self.value, struct)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), struct) from error

    def _explain(self, message: str, struct: type[msgspec.Struct]) -> UsageError:
        where = _WHERE.search(message)
        if (whole := _UNKNOWN.fullmatch(message)) and whole[1] in self.value:
            # A key of the document itself that reads like the end of a message.
            where = None
        path, kind, value = self._find(where["path"] if where else "", struct)
        if where and where["in_key"]:
            return self._bad_key(path, kind, value)
        what = message[: where.start()] if where else message
        if unknown := _UNKNOWN.fullmatch(what):
            path = (*path, unknown[1])
            what = f"unknown key; {did_you_mean(unknown[1], _keys(kind))}"
        elif missing := _MISSING.fullmatch(what):
            what = f"the key `{missing[1]}` is missing"
        else:
            written = _written(self.node, path, value)
            what = _in_plain_words(what, kind, value, written)
            if what.startswith("expected mapping"):
                what += _wrapped(path, kind, value, written)
        return self._error(path, what)

    def _bad_key(self, path: Path, kind: Any, value: Any) -> UsageError:
        key_type = next(args[0] for args in _dict_args(kind))
        key = next(key for key in value if not _fits(key, key_type))
        return self._error((*path, key), f"{key!r} cannot be a name here{_such_as(key_type)}")

    def _error(self, path: Path, what: str) -> UsageError:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        where = f"{self.name}:{_line(self.node, path)}"
        return UsageError(
            f"{where}: {key.removeprefix('.')}: {what}" if key else f"{where}: {what}"
        )

    def _find(self, text: str, struct: type[msgspec.Struct]) -> tuple[Path, Any, Any]:
        """The path that msgspec means, with the type and the value there."""
        path: Path = ()
        kind: Any = struct
        value = self.value
        for segment in _SEGMENT.finditer(text):
            kind = _inner(kind, segment["key"])
            if segment["any"]:
                # msgspec does not name keys of mappings: look for the one whose value does not fit.
                step: str | int = next(key for key in value if not _fits(value[key], kind))
            else:
                step = segment["key"] or int(segment["index"])
            path, value = (*path, step), value[step]
        return path, kind, value


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice: the first of them would be lost without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if problem := _wrong_key(key, seen):
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


def _wrong_key(key: yaml.Node, seen: set[str]) -> str:
    if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEY_TAGS:
        return "this key is no text: write it in quotes"
    return f"the key {key.value} stands here a second time" if key.value in seen else ""


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(source: bytes, name: str) -> Document:
    """Read YAML that holds a mapping.

    Raises:
        UsageError: it is no YAML, or no mapping.

    """
    try:
        text = source.decode()
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except UnicodeDecodeError as error:
        line = source[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}:{line}: this line is not UTF-8", "save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{name}:{_broken(error)}") from error
    if node is None or not isinstance(value, dict):
        raise UsageError(f"{name}:1: no keys in it", "it needs at least `name:`")
    return Document(name, _without_empty(value), node)


def _broken(error: Exception) -> str:
    """One line of a YAML error: where, and what."""
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.line + 1}:{mark.column + 1}: " if mark is not None else " "
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    if "stream end" in problem or "end of stream" in problem:
        problem = "the file ends inside a bracket or a quoted text"
    return f"{where}no valid YAML: {problem}"


def _without_empty(value: dict[Any, Any]) -> dict[Any, Any]:
    """A section whose lines are all commented out is null in YAML, and is meant as not there."""
    return {key: inner for key, inner in value.items() if inner is not None}


def _in_plain_words(what: str, kind: Any, value: Any, written: str) -> str:
    if what.startswith("Invalid enum value"):
        return f"there is no {value!r}; {did_you_mean(str(value), _choices(kind))}"
    if "matching regex" in what:
        return f"{value!r} does not fit{_such_as(kind)}"
    if bound := _BOUND.fullmatch(what):
        return f"{value!r} does not fit: it must be {_BOUNDS[bound[1]]} {bound[2]}"
    if "of length >= 1" in what:
        return "it is empty"
    if got := _GOT.fullmatch(what):
        return _wrong_type(got["wanted"].split(" | "), got["got"], value, written)
    return what[:1].lower() + what[1:].replace("`", "")


def _wrong_type(wanted: list[str], got: str, value: Any, written: str) -> str:
    if "str" in wanted and isinstance(value, bool | int | float):
        return f'{written} is no text here: write it in quotes, "{written}"'
    words = dict.fromkeys(_WORDS.get(name, name) for name in wanted if name != "null")
    names = " or ".join(words)
    shown = "" if value is None or isinstance(value, dict | list) else f" {value!r}"
    return f"expected {names}, got {_WORDS.get(got, got)}{shown}"


def _wrapped(path: Path, kind: Any, value: Any, written: str) -> str:
    """What was meant by a value where a mapping belongs that has one key only."""
    keys = _keys(kind)
    if path and len(keys) == 1 and _fits(value, _inner(kind, keys[0])):
        return f": write `{path[-1]}: {{{keys[0]}: {written}}}`"
    return ""


def _such_as(kind: Any) -> str:
    metas = list(_metas(kind))
    metas = [meta for meta in metas if meta.pattern] or metas
    rules = "".join(f": {meta.description}" for meta in metas if meta.description)
    examples = [str(example) for meta in metas for example in meta.examples or ()]
    return rules + (f": write it like {', '.join(examples)}" if examples else "")


def _written(node: yaml.Node, path: Path, value: Any) -> str:
    """A value as the file has it: 3.10 is 3.1 once YAML has made a number of it."""
    for step in path:
        entry = _child(node, step)
        if entry is None:
            return str(value)
        node = entry[1]
    return node.value if isinstance(node, yaml.ScalarNode) else str(value)


def _line(node: yaml.Node, path: Path) -> int:
    """The line of the key that `path` ends in, or of the deepest one that is there."""
    mark = node.start_mark
    for step in path:
        entry = _child(node, step)
        if entry is None:
            break
        mark, node = entry
    return mark.line + 1


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    match node:
        case yaml.SequenceNode() if isinstance(step, int):
            item = node.value[step]
            return item.start_mark, item
        case yaml.MappingNode():
            found = ((k.start_mark, v) for k, v in node.value if k.value == str(step))
            return next(found, None)
        case _:
            return None


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _members(kind: Any) -> Iterator[Any]:
    """The types that a union or an annotation is made of."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _members(get_args(kind)[0])
    elif origin in {Union, UnionType}:
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind


def _inner(kind: Any, key: str | None) -> Any:
    """The type one step inside: of a struct's field, or of the values of a list or mapping."""
    for member in _members(kind):
        if key is not None and isinstance(member, type) and issubclass(member, msgspec.Struct):
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(member)}
            if key in fields:
                return fields[key]
        elif key is None and get_origin(member) in {dict, list}:
            return get_args(member)[-1]
    return Any


def _keys(kind: Any) -> list[str]:
    structs = (m for m in _members(kind) if isinstance(m, type) and issubclass(m, msgspec.Struct))
    return [field.encode_name for struct in structs for field in msgspec.structs.fields(struct)]


def _dict_args(kind: Any) -> Iterator[tuple[Any, ...]]:
    return (get_args(member) for member in _members(kind) if get_origin(member) is dict)


def _choices(kind: Any) -> list[str]:
    literals = (member for member in _members(kind) if get_origin(member) is Literal)
    return [str(choice) for literal in literals for choice in get_args(literal)]


def _metas(kind: Any) -> Iterator[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        yield from _metas(get_args(kind)[0])
        yield from (meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta))
    elif get_origin(kind) in {Union, UnionType}:
        for member in get_args(kind):
            yield from _metas(member)
