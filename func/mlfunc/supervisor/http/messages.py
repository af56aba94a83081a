"""A request and a reply, of no library's types. Header names are in lower case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """What was asked, whole; `target` is path and query as they were sent."""

    method: str
    target: str
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        return dict(parse_qsl(urlsplit(self.target).query))

    def header(self, name: str, default: str = "") -> str:
        """The first of that name, in lower case."""
        return next((value for key, value in self.headers if key == name), default)


@dataclass(frozen=True)
class Reply:
    """What is answered; a body that is an iterator goes on until it ends or the client leaves."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""


Handler = Callable[[Request], Awaitable[Reply]]


def json_reply(status: int, data: Any) -> Reply:
    """Data as JSON."""
    return Reply(status, [("content-type", "application/json")], msgspec.json.encode(data))
