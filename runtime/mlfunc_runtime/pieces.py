"""Large JSON decoded in pieces, between which the hub takes a turn: a body of megabytes does not
hold up everybody else's requests.

What is taken apart are long arrays, nested or not, that are the body or a field of it. Each piece
is decoded as an array of its own. A comma that was no boundary leaves a piece that is no JSON, for
brackets and quotes do not match in it; and whatever does not come out well in pieces is decoded
once more in one go, which says what is wrong with it.
"""

from __future__ import annotations

import re
import sys
from itertools import chain
from types import GenericAlias
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from mlfunc_runtime import schema
from mlfunc_runtime.patching import hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Decode = Callable[[bytes], Any]
    Make = Callable[[Any], Any]

_PIECE = 64 * 1024
_DEEPEST = 8
_ARRAY = ord("[")
_HERE = 64  # so many bytes of a field tell where it is, nearly always
_BRACKETS = re.compile(rb"[\[ \t\r\n]*")
_NUMBERS = frozenset(("int64", "float64", "float32"))
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Apart(Exception):
    """It cannot be taken apart in this way."""


def decoder(whole: Decode, kind: Any, fields: Mapping[str, Any]) -> Decode:
    """What `whole` does, which decodes a body as `kind`; in pieces where that is possible.

    `fields` are the types of its fields, if it is an object that `setattr` changes.
    """
    known = {name: reader for name, each in fields.items() if (reader := _reader(each))}
    unknown = _Lists([Any]) if kind is Any else None
    if unknown is None and not known:
        return whole

    def decode(body: bytes) -> Any:
        try:
            if unknown is not None and body.lstrip()[:1] == b"[":
                return unknown.read(body)
            return _object(body, whole, known, unknown)
        except Exception:
            hub.turn()
            return whole(body)

    return decode


def _object(body: bytes, whole: Decode, known: Mapping[str, _Lists], unknown: _Lists | None) -> Any:
    """All but its large arrays is decoded by `whole`, with an empty array in the place of each."""
    rest: list[bytes] = []
    taken: dict[str, Any] = {}
    at = 0
    for name, raw in _raw_fields(body).items():
        reader = known.get(name, unknown)
        if reader is None or len(memoryview(raw)) < schema.LARGE or memoryview(raw)[0] != _ARRAY:
            continue
        hub.turn()
        text = bytes(raw)
        begin = _find(body, text, at)
        taken[name] = reader.read(text)
        rest += [body[at:begin], b"[]"]
        at = begin + len(text)
    value = whole(b"".join([*rest, body[at:]]))
    put: Callable[[Any, str, Any], None] = dict.__setitem__ if unknown else setattr
    for name, array in taken.items():
        put(value, name, array)
    return value


def _find(body: bytes, text: bytes, at: int) -> int:
    """Where `text` is; to search for all of it would take longer than to decode it."""
    at = body.find(text[:_HERE], at)
    while at >= 0 and not body.startswith(text, at):
        at = body.find(text[:_HERE], at + 1)
    if at < 0:
        raise _Apart
    return at


class _Lists:
    """Reads arrays as lists. `elements` are the types of its elements, of their elements, ..."""

    def __init__(self, elements: list[Any]) -> None:
        self._decode = [
            msgspec.json.Decoder(GenericAlias(list, element), dec_hook=schema.read_array).decode
            for element in elements
        ]
        self._deepest = _DEEPEST if elements[-1] is Any else len(elements)

    def read(self, text: bytes, level: int = 0) -> Any:
        """An array, each large element of which is read in pieces, too."""
        parts: list[Any] = []
        inner, depth = _inside(text)
        if level >= self._deepest or depth > _DEEPEST:
            raise _Apart
        decode = self._decode[min(level, len(self._decode) - 1)]
        for piece in _cut(inner, depth):
            if depth and len(piece) > 2 * _PIECE:
                parts.append(self.one(self.read(piece, level + 1)))
                continue
            elements = decode(b"[%b]" % piece)
            if not elements:  # a comma too many
                raise _Apart
            parts.append(self.some(elements))
            hub.turn()
        return self.join(parts)

    def one(self, element: Any) -> Any:
        """A part that is one element."""
        return [element]

    def some(self, elements: list[Any]) -> Any:
        """A part of several elements."""
        return elements

    def join(self, parts: list[Any]) -> Any:
        """All of its parts."""
        return list(chain.from_iterable(parts))


class _Arrays(_Lists):
    """Reads arrays as those of a library, which `make` makes of lists."""

    def __init__(self, make: Make) -> None:
        super().__init__([Any])
        self._make = make

    def one(self, element: Any) -> Any:
        return element[None]

    def some(self, elements: list[Any]) -> Any:
        return self._make(elements)

    def join(self, parts: list[Any]) -> Any:
        """What is made of parts is what is made of the whole if their types are the same, or
        numbers."""
        kinds = {str(part.dtype).removeprefix("torch.") for part in parts}
        if len(kinds) > 1 and not kinds <= _NUMBERS:
            raise _Apart
        library = sys.modules[type(parts[0]).__module__]
        return library.concatenate(parts)


def _reader(kind: Any) -> _Lists | None:
    if make := schema.array_type(kind):
        return _Arrays(make)
    return _Lists(elements) if (elements := list(_elements(kind))) else None


def _elements(kind: Any) -> Iterator[Any]:
    if kind is Any:
        yield Any
    while kind is list or get_origin(kind) is list:
        (kind,) = get_args(kind) or (Any,)
        yield kind


def _inside(text: bytes) -> tuple[bytes, int]:
    """What is between its brackets, and how many brackets that begins with."""
    text = text.strip()
    if text[:1] != b"[" or text[-1:] != b"]":
        raise _Apart
    brackets = _BRACKETS.match(text)
    return text[1:-1], brackets[0].count(b"[") - 1 if brackets else 0


def _cut(inner: bytes, depth: int) -> Iterator[bytes]:
    """At commas between its elements, if as many brackets end before them as began."""
    boundary = b"]" * depth + b","
    begin = 0
    while (at := inner.find(boundary, begin + _PIECE)) >= 0:
        yield inner[begin : at + depth]
        begin = at + depth + 1
    yield inner[begin:]
