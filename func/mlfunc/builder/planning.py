"""Which layers are there already, which are to be made, and why: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.layers.making import MEDIA_TYPES, Made

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.builder.records import Record
    from mlfunc.layers.making import Compression
    from mlfunc.packs.layer import Layer

_NAMED_AT_MOST = 2


@dataclass(frozen=True)
class Part:
    """A layer of the image, whose it is, and where it lies: /layers/mlfunc_python/deps."""

    layer: Layer
    pack: str  # mlfunc/python; nothing for what is ours
    place: str
    history: str  # what the image's history says of it


@dataclass(frozen=True)
class Step:
    """What becomes of a part: `made` is what it is, where that is known before it is made."""

    part: Part
    compression: Compression
    made: Made | None
    why: str


@dataclass(frozen=True)
class Past:
    """What builds before this one left: in the image that has the name now, and here.

    `there` are layers of that image, `last` those of the image that the user saw last, which tells
    what has changed; `here` looks a key up among what was made on this machine.
    """

    there: Mapping[str, Record]
    last: Mapping[str, Record]
    here: Callable[[str, Compression], Made | None]


def plan(parts: Sequence[Part], past: Past, compression: Compression) -> tuple[Step, ...]:
    """A step for each part, in their order."""
    return tuple(_step(part, past, "none" if part.layer.raw else compression) for part in parts)


def _step(part: Part, past: Past, compression: Compression) -> Step:
    key = part.layer.key
    record = past.there.get(key)
    if record and (part.layer.taken or record.media_type == MEDIA_TYPES[compression]):
        return Step(part, compression, Made(record.diff_id, record.descriptor), "unchanged")
    made = past.here(key, compression)
    why = _why(part, past.last, made)
    return Step(part, compression, made, why)


def _why(part: Part, last: Mapping[str, Record], made: Made | None) -> str:
    if part.layer.key in last:
        return "unchanged"
    if made:
        return "made before"
    before = _before(part, last)
    if before is None:
        return "new"
    return difference(before.inputs, part.layer.inputs) or "changed"


def _before(part: Part, last: Mapping[str, Record]) -> Record | None:
    """The layer that this one takes the place of: one name may have another version behind it."""
    subject = part.layer.name.partition(" ")[0]
    alike = (
        each
        for each in last.values()
        if each.place == part.place and each.name.partition(" ")[0] == subject
    )
    return next(alike, None)


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """In words: `predictor.py changed`; nothing where it cannot be told."""
    if not before or not now:
        return ""
    said = {
        "changed": [name for name in now if name in before and before[name] != now[name]],
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
    }
    return ", ".join(f"{_named(names)} {verb}" for verb, names in said.items() if names)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    if more > 1:
        return f"{', '.join(names[:_NAMED_AT_MOST])} and {more} more"
    return ", ".join(names)
