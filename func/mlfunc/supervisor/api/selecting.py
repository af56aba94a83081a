"""Objects chosen by labels and fields, as kubectl's selectors do. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.supervisor.api.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Object = dict[str, Any]
Labels = dict[str, str]

_APART = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"(?P<key>\S+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(r"(?P<key>[^\s!=]+)\s*(?P<how>==?|!=)\s*(?P<value>[^\s!=]*)")
_THERE = re.compile(r"(?P<not>!?)(?P<key>[^\s!=(),]+)")


@dataclass(frozen=True)
class Selector:
    """All of its terms have to hold."""

    labels: Sequence[Callable[[Labels], bool]] = ()
    fields: Sequence[Callable[[Object], bool]] = ()

    def matches(self, found: Object) -> bool:
        """Whether an object is meant."""
        labels = found["metadata"].get("labels") or {}
        return all(term(labels) for term in self.labels) and all(
            term(found) for term in self.fields
        )


def parse(labels: str, fields: str) -> Selector:
    """Both selectors of a query.

    Raises:
        Refused: one is none.

    """
    return Selector(
        [_label(each.strip()) for each in _APART.split(labels) if each.strip()],
        [_field(each.strip()) for each in fields.split(",") if each.strip()],
    )


def _label(term: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(term):
        key, values = found["key"], {each.strip() for each in found["values"].split(",")}
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(term):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _THERE.fullmatch(term):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) == wanted
    raise bad_request(f"unable to parse requirement: {term}")


def _field(term: str) -> Callable[[Object], bool]:
    found = _EQUAL.fullmatch(term)
    if found is None:
        raise bad_request(f"invalid field selector: {term}")
    path, value, same = found["key"].split("."), found["value"], found["how"] != "!="
    return lambda object_: (_text(object_, path) == value) == same


def _text(found: Any, path: Sequence[str]) -> str:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)
