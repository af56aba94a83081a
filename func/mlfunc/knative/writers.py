"""`metadata.managedFields` of a Service -> who has changed it besides us. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]

# What Knative itself writes with, and what we do.
_OURS = ("mlfunc", "controller", "serving-controller", "webhook", "serving-webhook")


@dataclass(frozen=True)
class Writer:
    """Who else has written fields of the Service, and when last."""

    manager: str
    time: str
    fields: tuple[str, ...]


def others(service: Object) -> list[Writer]:
    """Who else changed it: other command lines, people with kubectl edit, GitOps."""
    return [
        Writer(each["manager"], each.get("time", ""), tuple(_paths(each.get("fieldsV1") or {})))
        for each in service["metadata"].get("managedFields") or ()
        if not each.get("subresource")
        and each["manager"] not in _OURS
        and not each["manager"].startswith("mlfunc-")
    ]


def _paths(fields: Object, path: str = "") -> Iterator[str]:
    """The deepest names of `fieldsV1`: f:spec -> spec.… ; items of lists go by their keys."""
    inner = {key: value for key, value in fields.items() if key != "."}
    if not inner:
        yield path
    for key, value in inner.items():
        name = key.removeprefix("f:")
        yield from _paths(value, f"{path}.{name}" if path else name)
