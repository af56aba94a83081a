"""Requests to an API server: each answered, whatever the status, or the server not reached.

Two answers are not the last: 401, after which credentials are read anew, once; and one that says
when to ask again (Retry-After), which is obeyed as client-go does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cluster import failures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    import urllib3

    from mlfunc.cluster.access import Access

_CONNECT_SECONDS = 5
_UNAUTHORIZED = 401
_BUSY = (429, 503)
_TRIES = 4
_LONGEST_SECONDS = 10


@dataclass(frozen=True)
class Request:
    """What is asked: `url` without the server; `stream`: the body of the reply stays unread.

    `headers`, if given, are all that it has besides those of the login.
    """

    method: str
    url: str
    body: bytes | None = None
    content_type: str = "application/json"
    stream: bool = False
    read_seconds: float | None = None
    headers: Mapping[str, str] | None = None


class Connection:
    """A way into a cluster that is renewed where it has to be; threads may share it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._renewing = threading.Lock()

    def send(self, request: Request) -> urllib3.BaseHTTPResponse:
        """The reply to a request.

        Raises:
            Unavailable: there is none.

        """
        for _ in range(_TRIES - 1):
            response = self._send_as_known(request)
            seconds = _told_to_wait(response)
            if seconds is None:
                return response
            response.drain_conn()
            time.sleep(seconds)
        return self._send_as_known(request)

    def pass_on(self, request: Request) -> urllib3.BaseHTTPResponse:
        """The reply to what is for another behind the server: sent once, whatever comes back.

        Raises:
            Unavailable: there is none.

        """
        return _send(self.access, request)

    def _send_as_known(self, request: Request) -> urllib3.BaseHTTPResponse:
        used = self.access
        response = _send(used, request)
        if response.status != _UNAUTHORIZED:
            return response
        response.drain_conn()
        return _send(self._renewed(used), request)

    def _renewed(self, used: Access) -> Access:
        with self._renewing:
            if self.access is used:  # no other thread has
                self.access = used.again()
            return self.access


class Lines:
    """The lines of a reply, to be read once; `stop` ends that, from whatever thread."""

    def __init__(self, response: urllib3.BaseHTTPResponse, access: Access) -> None:
        self._response = response
        self._access = access
        self._stopped = False

    def __iter__(self) -> Iterator[bytes]:
        import urllib3

        try:
            yield from self._response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if not self._stopped:
                raise failures.unreachable(self._access, error) from error
        finally:
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def stop(self) -> None:
        """End it, even while another thread waits for a line."""
        self._stopped = True
        # What has ended by itself has no connection any more.
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            self._response.shutdown()


def _send(access: Access, request: Request) -> urllib3.BaseHTTPResponse:
    import urllib3

    headers = urllib3.HTTPHeaderDict(access.headers())
    headers.update(_own(request) if request.headers is None else request.headers)
    try:
        return access.pool.request(
            request.method,
            f"{access.server}{request.url}",
            body=request.body,
            headers=headers,
            preload_content=not request.stream,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=request.read_seconds),
        )
    except urllib3.exceptions.HTTPError as error:
        raise failures.unreachable(access, error) from error


def _own(request: Request) -> dict[str, str]:
    headers = {"accept": "application/json"}
    if not request.stream:  # long lists are a tenth of their size; a stream may be held back by it
        headers["accept-encoding"] = "gzip"
    if request.body is not None:
        headers["content-type"] = request.content_type
    return headers


def _told_to_wait(response: urllib3.BaseHTTPResponse) -> int | None:
    """Seconds, if it says so and they are few."""
    after = response.headers.get("retry-after", "")
    if response.status not in _BUSY or not after.isdigit():
        return None
    return int(after) if int(after) <= _LONGEST_SECONDS else None
