"""A GET that may begin in the middle of a file, through the proxies of this machine."""

from __future__ import annotations

import functools
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc.models.source import PIECE, Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import urllib3

    from mlfunc.errors import MlfuncError

_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 60.0
_THREADS = 16


def read(
    url: str, headers: Mapping[str, str], offset: int, refusal: Callable[[int], MlfuncError]
) -> Iterator[bytes]:
    """The bytes at a URL from `offset` on; where it leads elsewhere, credentials do not follow.

    Raises:
        Broken: the connection was not made, or ended early.
        MlfuncError: what `refusal` makes of a status that is none of success.

    """
    import urllib3

    asked = {**headers, "Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
    try:
        response = _pool(_proxy(url)).request("GET", url, headers=asked, preload_content=False)
        with response:
            if response.status not in {200, 206}:
                raise refusal(response.status)
            yield from _skip(_pieces(response), offset if response.status == 200 else 0)
            response.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise Broken(str(error)) from error


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    # As they come: of a piece that is waited for, nothing would be left when the connection breaks.
    while piece := response.read1(PIECE):
        yield piece


@functools.cache
def _pool(proxy: str | None) -> urllib3.PoolManager:
    import urllib3

    timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_SILENT_SECONDS)
    retries = urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=5)
    if proxy:
        return urllib3.ProxyManager(proxy, timeout=timeout, retries=retries, maxsize=_THREADS)
    return urllib3.PoolManager(timeout=timeout, retries=retries, maxsize=_THREADS)


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _skip(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """All but the first bytes: a server need not know of ranges."""
    for piece in pieces:
        yield piece[count:]
        count = max(0, count - len(piece))
