"""HTTP that follows redirects, on connections that are kept, in one native thread."""

from __future__ import annotations

import http.client
import ssl
import urllib.request
from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from mlfunc_runtime.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SILENT_SECONDS = 30.0
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_OF_THE_NODE = "169.254."  # link-local: where agents hand out credentials
_FOR_ALL = ("Range", "Accept-Encoding")
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_Connection = http.client.HTTPConnection


class Broken(Exception):
    """It may go better next time: a connection broke, or the server has no time, or trouble."""


class Refused(Exception):
    """The server will not give it."""

    def __init__(self, url: str, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        super().__init__(f"{urlsplit(url).netloc} answers {response.status} {response.reason}")


class Connections:
    """One for each origin. Not for several threads."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Connection] = {}
        self._answer: http.client.HTTPResponse | None = None

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> http.client.HTTPResponse:
        """The answer, with 200. Raises as `get` does."""
        return self._checked(url, self._ask("POST", url, headers, body))

    def get(self, url: str, headers: Mapping[str, str]) -> tuple[str, http.client.HTTPResponse]:
        """The answer, with 200 or 206, and where it came from. Credentials stay at their origin.

        Raises:
            Broken: there is no answer, or one that says to come again.
            Refused: any other answer.

        """
        kept = dict(headers)
        for _ in range(_REDIRECTS):
            response = self._ask("GET", url, kept)
            target = response.getheader("Location")
            if response.status not in _MOVED or not target:
                return url, self._checked(url, response)
            response.read()
            target = urljoin(url, target)
            if _origin(target) != _origin(url):
                kept = {name: value for name, value in kept.items() if name in _FOR_ALL}
            url = target
        raise Broken(f"{urlsplit(url).netloc} redirects in circles")

    def close(self) -> None:
        """Close all, and an answer that was not read to its end."""
        if self._answer is not None:
            self._answer.close()
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        proxy = _proxy(parts)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        told = dict(headers)
        if proxy is not None and parts.scheme == "http":
            path, told = url, {**told, **_greeting(proxy)}
        try:
            connection = self._connection(parts, proxy)
            connection.request(method, path, body, told)
            self._answer = connection.getresponse()
            return self._answer
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of {parts.netloc} is not trusted: {error.verify_message}"
            raise StartupError(why, "name the file of its authority in SSL_CERT_FILE") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Broken(f"{parts.netloc}: {type(error).__name__}: {error}") from error

    def _connection(self, parts: SplitResult, proxy: SplitResult | None) -> _Connection:
        if _origin(parts.geturl()) not in self._open:
            self._open[_origin(parts.geturl())] = _connect(parts, proxy)
        return self._open[_origin(parts.geturl())]

    def _checked(self, url: str, response: http.client.HTTPResponse) -> http.client.HTTPResponse:
        if response.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return response
        refused = Refused(url, response)
        self.close()
        if response.status in _BUSY or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Broken(str(refused)) from refused
        raise refused


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _connect(parts: SplitResult, proxy: SplitResult | None) -> _Connection:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else _Connection
    if proxy is None:
        return kind(parts.hostname or "", parts.port, timeout=_SILENT_SECONDS)
    connection = kind(proxy.hostname or "", proxy.port, timeout=_SILENT_SECONDS)
    if parts.scheme == "https":
        connection.set_tunnel(parts.hostname or "", parts.port, headers=_greeting(proxy))
    return connection


def _greeting(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _proxy(parts: SplitResult) -> SplitResult | None:
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as everywhere; none for the node's own addresses."""
    host = parts.hostname or ""
    if host.startswith(_OF_THE_NODE) or urllib.request.proxy_bypass(host):
        return None
    url = urllib.request.getproxies().get(parts.scheme)
    return urlsplit(url if "://" in url else f"http://{url}") if url else None
