"""Where the files of a model lie, by the scheme of its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from mlfunc_runtime.errors import SettingsError
from mlfunc_runtime.weights.hub import Hub
from mlfunc_runtime.weights.s3 import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc_runtime.weights.http import Refused
    from mlfunc_runtime.weights.listing import File, Listing


class Asked(NamedTuple):
    """A GET: its headers are for this origin only. `led_to`: a request before was led there."""

    url: str
    headers: dict[str, str]
    led_to: bool = False


class Source(Protocol):
    """A place that has a model."""

    def request(self, path: str) -> tuple[str, dict[str, str]]:
        """What to ask for a file: URL and headers, for now. Safe from any thread."""
        ...

    def hint(self, refused: Refused) -> str:
        """What to do about a refusal."""
        ...


_SCHEMES: dict[str, Callable[[Listing, Mapping[str, str]], Source]] = {"hf": Hub, "s3": Bucket}


class Addresses:
    """The addresses of a model's files; one that a request was led to is asked from then on."""

    def __init__(self, listing: Listing, environ: Mapping[str, str]) -> None:
        scheme = listing.uri.partition("://")[0]
        if scheme not in _SCHEMES:
            raise SettingsError(
                f"{listing.uri} cannot be streamed", f"there are {', '.join(_SCHEMES)}"
            )
        self.uri = listing.uri
        self.source = _SCHEMES[scheme](listing, environ)
        self._led_to: dict[str, str] = {}

    def request(self, file: File) -> Asked:
        """The next request for a file."""
        if url := self._led_to.get(file.path):
            return Asked(url, {}, led_to=True)
        if file.url and file.url.startswith(("http://", "https://")):
            return Asked(file.url, {})
        return Asked(*self.source.request(file.path))

    def led(self, file: File, asked: Asked, url: str) -> None:
        """The answer came from `url`."""
        if url != asked.url:
            self._led_to[file.path] = url

    def forget(self, file: File, asked: Asked) -> None:
        """Ask the source anew, for addresses expire, unless another stream has done so."""
        if self._led_to.get(file.path) == asked.url:
            self._led_to.pop(file.path, None)
