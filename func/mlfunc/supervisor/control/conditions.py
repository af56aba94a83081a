"""What objects say of themselves: conditions, as Kubernetes has them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Object = dict[str, Any]
Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """One; `info`: whether it is met does not count for whether all is well."""

    type: str
    status: Status
    reason: str = ""
    message: str = ""
    info: bool = False


def timestamp(seconds: float) -> str:
    """As objects write it, whole seconds of it."""
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def written(conditions: Iterable[Condition], before: Sequence[Object] | None, now: float) -> Any:
    """For a status: each with the time since which it has been so, sorted by type."""
    known = {each["type"]: each for each in before or ()}
    return [
        _since(_object(each), known.get(each.type), now)
        for each in sorted(conditions, key=lambda each: each.type)
    ]


def found(conditions: Iterable[Condition], kind: str) -> Condition:
    """The one of a type."""
    return next(each for each in conditions if each.type == kind)


def summed(conditions: Sequence[Condition], kind: str = "Ready") -> Condition:
    """Whether all that count are met; if not, it is the first that is false, else unknown."""
    counted = [each for each in conditions if not each.info]
    for status in ("False", "Unknown"):
        for each in counted:
            if each.status == status:
                return Condition(kind, each.status, each.reason, each.message)
    return Condition(kind, "True")


def _object(condition: Condition) -> Object:
    given = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "severity": "Info" if condition.info else "",
    }
    return {key: value for key, value in given.items() if value}


def _since(wanted: Object, before: Object | None, now: float) -> Object:
    kept = {key: value for key, value in (before or {}).items() if key != "lastTransitionTime"}
    if before is not None and kept == wanted:
        return before
    return {**wanted, "lastTransitionTime": timestamp(now)}
