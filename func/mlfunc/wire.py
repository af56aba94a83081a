"""What carries a request of HTTP to whoever answers it: a connection to it, or somebody between.

How a URL is read, and whose password is in it, is known here and nowhere else.
"""

from __future__ import annotations

import http.client
from base64 import b64encode
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
_PORTS = {"http": 80, "https": 443}


class Response(Protocol):
    """A reply whose body is read as it comes; `length` is what of it is still to come, if known."""

    status: int
    reason: str

    @property
    def length(self) -> int | None:
        """Bytes."""
        ...

    def getheaders(self) -> list[tuple[str, str]]:
        """In their order."""
        ...

    def read1(self, n: int, /) -> bytes:
        """Some of the body, at most `n` bytes; empty at its end."""
        ...

    def close(self) -> None:
        """Read no more of it."""
        ...


class Wire(Protocol):
    """It fails as http.client does: with OSError, HTTPException or ValueError."""

    @property
    def title(self) -> str:
        """As messages call it."""
        ...

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], /
    ) -> Response:
        """One request, sent once, and its reply."""
        ...

    def close(self) -> None:
        """Close it; a further request opens it again."""
        ...


class Direct:
    """A connection to the server of a URL."""

    def __init__(self, url: str, timeout: float | None) -> None:
        parts, (host, port) = split(url), address(url)
        # A password is nothing for messages.
        self.title = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._http: http.client.HTTPConnection
        self._http = _CONNECTIONS[parts.scheme](host, port, timeout=timeout)

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """One request, sent once, and its reply."""
        try:
            self._http.request(method, target, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # A body that is too large may be answered, and no more of it be read.
            if self._http.sock is None:
                raise
        return self._http.getresponse()

    def close(self) -> None:
        """Close it; a further request opens it again."""
        self._http.close()


def split(url: str) -> SplitResult:
    """A URL that HTTP can be spoken to.

    Raises:
        UsageError: it is none.

    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url} is no URL of a function: {error}") from error
    if parts.scheme not in _CONNECTIONS or not parts.hostname or port == 0:
        raise UsageError(f"{url} is no URL of a function", "write it like http://localhost:8080")
    return parts


def address(url: str) -> tuple[str, int]:
    """The host and the port that a URL means.

    Raises:
        UsageError: it is none of HTTP.

    """
    parts = split(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def credentials(parts: SplitResult) -> dict[str, str]:
    """The header for the name and the password in a URL, if they are in it."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
