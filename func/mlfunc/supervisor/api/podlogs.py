"""What is asked of a pod's log. Who has the text implements `Logs`."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlfunc.supervisor.api.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Object = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """Which lines, and how."""

    container: str = ""
    follow: bool = False  # go on until the container has ended
    previous: bool = False  # of the container before the last restart
    timestamps: bool = False  # each line begins with its time, RFC 3339 in UTC, and a space
    tail: int | None = None  # the last lines, so many
    since: float | None = None  # seconds since 1970
    limit: int | None = None  # bytes


class Logs(Protocol):
    """The text of the log of a pod, which is there."""

    def __call__(self, pod: Object, query: Query) -> AsyncIterator[bytes]:
        """In pieces of any size."""
        ...


def parse(asked: Mapping[str, str]) -> Query:
    """The query of a request.

    Raises:
        Refused: it is none.

    """
    try:
        return Query(
            container=asked.get("container", ""),
            follow=_flag(asked, "follow"),
            previous=_flag(asked, "previous"),
            timestamps=_flag(asked, "timestamps"),
            tail=_number(asked, "tailLines"),
            since=_since(asked),
            limit=_number(asked, "limitBytes"),
        )
    except ValueError as error:
        raise bad_request(f"the query of the log: {error}") from error


def _flag(asked: Mapping[str, str], name: str) -> bool:
    return asked.get(name, "") in ("true", "1")


def _number(asked: Mapping[str, str], name: str) -> int | None:
    return int(asked[name]) if asked.get(name) else None


def _since(asked: Mapping[str, str]) -> float | None:
    if asked.get("sinceTime"):
        return datetime.datetime.fromisoformat(asked["sinceTime"]).timestamp()
    seconds = _number(asked, "sinceSeconds")
    return None if seconds is None else time.time() - seconds
