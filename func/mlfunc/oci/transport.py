"""HTTP to one registry and the hosts it sends us to: proxies, certificates, tries after a break.

Nothing here knows of users or blobs.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning
from urllib3.exceptions import SSLError as TlsError
from urllib3.util import parse_url

from mlfunc import __version__
from mlfunc.errors import RegistryFailed
from mlfunc.oci import failures
from mlfunc.oci.reference import registry_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Body = Callable[[], Iterable[bytes]]

_SEND_SECONDS = 30  # to connect, and to hand the network one piece of a body
_READ_SECONDS = 300  # registries on object stores copy a blob before they answer
_BODY_LIMIT = 16 << 20  # of answers that are read whole: manifests, configs, errors
BUSY = {429, 500, 502, 503, 504}
_LONGEST_WAIT = 60  # seconds, of what a registry may ask for with Retry-After
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Access:
    """How registries are reached: what a user's variables and flags say.

    `own` is the registry (HOST:PORT) that `insecure` and MLFUNC_REGISTRY_USER are meant for:
    another one sees neither. `insecure`: any certificate will do, or plain HTTP.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    own: str = ""
    insecure: bool = False
    waits: tuple[float, ...] = (0.5, 1, 2, 4, 8)  # seconds before each further try


@dataclass(frozen=True)
class Reply:
    """An answer that was read whole; names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Connections of one registry, shared by all threads that work with it."""

    def __init__(self, registry: str, access: Access) -> None:
        self.access = access
        self._registry = registry
        self._lock = threading.Lock()
        self._pools: dict[tuple[bool, str], urllib3.PoolManager] = {}
        self._reached: set[str] = set()

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
        *,
        again: bool = True,
    ) -> Reply:
        """One request and its whole answer.

        Raises:
            RegistryFailed: there was none; `Broken` where a later try may do better.

        """
        if not again:
            return self._once(method, url, headers, body)
        return self.patiently(lambda: self._once(method, url, headers, body))

    def patiently(self, once: Callable[[], Reply]) -> Reply:
        """The answer to what may be asked again: after a break, and of a registry that is busy.

        Raises:
            RegistryFailed: there was none; `Broken`: the last try broke off, too.

        """
        for wait in (*self.access.waits, None):
            try:
                reply = once()
            except Broken as broken:
                if wait is None:
                    raise
                asked = broken.after
            else:
                if reply.status not in BUSY or wait is None:
                    return reply
                asked = asked_for(reply)
            time.sleep(max(wait, asked))
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(self, url: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """A GET whose answer is read piece by piece, wherever the registry keeps it.

        The authorization is the registry's: an object store that it sends us to never sees it.

        Raises:
            Broken: the connection failed, also while it is read.

        """
        for _ in range(_MOST_REDIRECTS):
            with self._watch(url), closing(self._open("GET", url, headers, None)) as response:
                if response.status not in _REDIRECTS or "location" not in response.headers:
                    yield response
                    return
                to = urljoin(url, response.headers["location"])
            url, headers = to, _headers_for(url, to, headers)
        raise RegistryFailed(f"{self._registry} sends us round in circles: {url}")

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None
    ) -> Reply:
        if method == "GET":
            with self.stream(url, headers) as response:
                return whole(response)
        with self._watch(url), closing(self._open(method, url, headers, body)) as response:
            return whole(response)

    def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None
    ) -> urllib3.BaseHTTPResponse:
        response = self._pool(url).request(
            method,
            url,
            headers={"User-Agent": f"mlfunc/{__version__}", **headers},
            body=body() if callable(body) else body,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=_SEND_SECONDS, read=_READ_SECONDS),
        )
        self._reached.add(urlsplit(url).netloc)
        return response

    @contextmanager
    def _watch(self, url: str) -> Iterator[None]:
        """A host that answered before has broken off; one that never did is not there."""
        host = urlsplit(url).netloc
        try:
            yield
        except HTTPError as error:
            failure = failures.unreachable(host, error)
            if host in self._reached and not isinstance(error, TlsError):
                raise Broken(failure.message, failure.hint) from error
            raise failure from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        key = parts.netloc == self._registry, proxy(url, self.access.environ)
        with self._lock:
            if key not in self._pools:
                tls = self._tls if key[0] and parts.scheme == "https" else None
                self._pools[key] = pool_manager(key[1], tls)
            return self._pools[key]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """What the registry's certificate is judged by."""
        context = ssl.create_default_context()
        for path in _authorities(self._registry, self.access.environ):
            context.load_verify_locations(path)
        if self.access.insecure and self.access.own == self._registry:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            # It was asked for: no need to say so at every connection.
            urllib3.disable_warnings(InsecureRequestWarning)
        return context


def whole(response: urllib3.BaseHTTPResponse) -> Reply:
    """Read an answer to its end; of one that is absurdly long, the beginning."""
    data = response.read(_BODY_LIMIT, decode_content=True)
    if len(data) < _BODY_LIMIT:
        response.release_conn()
    names = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, names, data)


class Broken(RegistryFailed):
    """A connection that had worked broke off: what was under way can be taken up again, `after`
    so many seconds.
    """

    def __init__(self, message: str, hint: str = "", *, after: float = 0) -> None:
        super().__init__(message, hint)
        self.after = after


def proxy(url: str, environ: Mapping[str, str]) -> str:
    """The proxy for an address, as curl and Go read it from the environment; "": none."""
    parts = urlsplit(url)
    if registry_host(parts.netloc) in {"localhost", "127.0.0.1", "::1"}:
        return ""
    given = {name: environ.get(name) or environ.get(name.upper(), "") for name in _PROXIES}
    if _is_exempt(parts.netloc, given["no_proxy"]):
        return ""
    return given[f"{parts.scheme}_proxy"] or given["all_proxy"]


def _is_exempt(netloc: str, listed: str) -> bool:
    """NO_PROXY: hosts with all below them, host:port, networks (10.0.0.0/8), * for all."""
    host = registry_host(netloc)
    return any(
        _covers(entry.strip().lower(), host, netloc) for entry in listed.split(",") if entry.strip()
    )


def _covers(entry: str, host: str, netloc: str) -> bool:
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry)
    name = entry.removeprefix("*").removeprefix(".")
    return entry == "*" or name in {host, netloc} or host.endswith(f".{name}")


def pool_manager(through: str, tls: ssl.SSLContext | None = None) -> urllib3.PoolManager:
    """Connections by way of a proxy, where there is one."""
    options: dict[str, Any] = {"ssl_context": tls, "maxsize": 8}
    if not through:
        return urllib3.PoolManager(**options)
    parts = parse_url(through if "://" in through else f"http://{through}")
    headers = urllib3.make_headers(proxy_basic_auth=parts.auth) if parts.auth else None
    return urllib3.ProxyManager(parts.url, proxy_headers=headers, **options)


def _authorities(registry: str, environ: Mapping[str, str]) -> list[Path]:
    """Authorities for one registry alone, where Docker looks for them."""
    home = Path(environ.get("HOME") or Path.home())
    folders = (home / ".docker/certs.d", Path("/etc/docker/certs.d"))
    return [path for folder in folders for path in sorted((folder / registry).glob("*.crt"))]


def _headers_for(url: str, to: str, headers: Mapping[str, str]) -> dict[str, str]:
    if urlsplit(url).scheme == "https" and urlsplit(to).scheme != "https":
        host = urlsplit(url).netloc
        raise RegistryFailed(f"{host} sends us from TLS to plain HTTP, which anybody could read")
    same = urlsplit(url)[:2] == urlsplit(to)[:2]
    return {k: v for k, v in headers.items() if same or k.lower() != "authorization"}


def asked_for(reply: Reply) -> float:
    """Seconds of Retry-After; its dates are left to our own waits."""
    text = reply.headers.get("retry-after", "")
    return min(int(text), _LONGEST_WAIT) if text.isdecimal() else 0
