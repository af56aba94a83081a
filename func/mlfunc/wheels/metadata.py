"""METADATA of wheels, without the wheels: what is asked for when packages are resolved.

An index serves it beside a wheel (PEP 658), or it is read out of the wheel's end. What is found of
licences is kept in mlfunc.lock: a build in which nothing has changed has no wheel at hand.
"""

from __future__ import annotations

import base64
import io
import re
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import urllib3
from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from mlfunc.oci import transport
from mlfunc.wheels import licenses, requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from mlfunc.lock import Wheel
    from mlfunc.wheels.requirements import Requirements

_AT_ONCE = 8
_SECONDS = 10.0
# Connections stay: with one for each wheel, and a name to look up for each, resolvers give up.
_PATIENCE = urllib3.Retry(
    total=5, backoff_factor=0.5, status_forcelist=transport.BUSY, raise_on_status=False
)
_PIECE = 64 << 10
_LARGEST = 8 << 20  # of what is fetched in one piece; a METADATA has the README in it
_NONE_THERE = {401, 403, 404, 405, 410}
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")


def with_licenses(
    wheels: Sequence[Wheel],
    known: Iterable[Wheel],
    asked: Requirements,
    environ: Mapping[str, str],
    report: Callable[[str], None],
) -> list[Wheel]:
    """The wheels with their licences; those that are `known` are not asked for again.

    One that cannot be had is reported and left out: it is no reason not to build.
    """
    before = {wheel.sha256: wheel for wheel in known}
    web = _Web(environ)

    def licensed(wheel: Wheel) -> Wheel:
        same = before.get(wheel.sha256)
        if same and (same.license or same.license_names):
            return replace(wheel, license=same.license, license_names=same.license_names)
        found = licenses.declared(_metadata(wheel, asked, web, report))
        return replace(wheel, license=found.spdx, license_names=list(found.names))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(licensed, wheels))


def _metadata(wheel: Wheel, asked: Requirements, web: _Web, report: Callable[[str], None]) -> str:
    try:
        if wheel.url is not None:
            return _fetched(web, requirements.with_user(wheel.url, asked.text, web.environ))
        file = requirements.locate(wheel, asked.folders)
        return _unpacked(file) if file else ""
    except (OSError, HTTPError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        report(f"the licence of {wheel.name} cannot be asked for: {error}")
        return ""


def _fetched(web: _Web, url: str) -> str:
    """What an index says of a wheel, else what the wheel itself does."""
    try:
        return web.get(url, ".metadata").decode(errors="replace")
    except _Refused as error:
        if error.status not in _NONE_THERE:
            raise
    return _unpacked(io.BufferedReader(_Remote(web, url), _PIECE))


class _Refused(OSError):
    """It is not to be had there."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _Web:
    """Connections to indexes, shared by threads."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def get(self, url: str, suffix: str = "", **more: str) -> bytes:
        """The beginning of what is there, `_LARGEST` at most."""
        with closing(self.open(url, suffix, **more)) as reply:
            return reply.read(_LARGEST)

    def open(self, url: str, suffix: str = "", **more: str) -> urllib3.BaseHTTPResponse:
        """An answer that is to be read and closed.

        Raises:
            _Refused: it is not to be had there.
            HTTPError: nobody answers.

        """
        parts = urlsplit(requirements.without_user(url))
        address = parts._replace(path=parts.path + suffix, fragment="").geturl()
        # Where the index sends us elsewhere, they are nobody's business: urllib3 leaves them out.
        headers = {**more, **_credentials(url)}
        reply = self._pool(address).request(
            "GET",
            address,
            headers=headers,
            retries=_PATIENCE,
            timeout=_SECONDS,
            preload_content=False,
        )
        if reply.status >= 400:
            reply.close()
            raise _Refused(reply.status)
        return reply

    def _pool(self, address: str) -> urllib3.PoolManager:
        through = transport.proxy(address, self.environ)
        with self._lock:
            if through not in self._pools:
                self._pools[through] = transport.pool_manager(through)
            return self._pools[through]


def _credentials(url: str) -> dict[str, str]:
    """The user and password in an address, as HTTP has them; nothing where there are none."""
    user = urlsplit(url).netloc.rpartition("@")[0]
    told = base64.b64encode(unquote(user).encode()).decode()
    return {"Authorization": f"Basic {told}"} if user else {}


class _Remote(io.RawIOBase):
    """A wheel, read where it lies: its end, where what is wanted is, comes at once."""

    def __init__(self, web: _Web, url: str) -> None:
        self._web = web
        self._url = url
        self._at = 0
        with closing(web.open(url, Range=f"bytes=-{_PIECE}")) as reply:
            self._end = reply.read(_LARGEST)
            whole = reply.headers.get("Content-Range") or reply.headers.get("Content-Length") or "0"
        self._size = int(whole.rpartition("/")[2])

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read it there next."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes."""
        data = self._piece(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _piece(self, count: int) -> bytes:
        skipped = self._size - len(self._end)
        if self._at >= skipped:
            return self._end[self._at - skipped :][:count]
        last = min(self._at + count, skipped) - 1
        return self._web.get(self._url, Range=f"bytes={self._at}-{last}")


def _unpacked(file: Path | IO[bytes]) -> str:
    with zipfile.ZipFile(file) as wheel:
        names = [name for name in wheel.namelist() if _METADATA.fullmatch(name)]
        return wheel.read(names[0]).decode(errors="replace") if names else ""
