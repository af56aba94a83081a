"""Who gets a request: by its host, or by the first segment of its path. Pure.

http://NAME.NAMESPACE.localhost:PORT/REST         and TAG-NAME for a revision by its tag
http://127.0.0.1:PORT/NAME/REST                   in the namespace `default`
http://127.0.0.1:PORT/NAME.NAMESPACE/REST
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.supervisor.parts import Key, Route

DOMAIN = "localhost"
NAMESPACE = "default"
_ALL = 100
_PATH = re.compile(r"/([^/?]*)(.*)", re.DOTALL)


class Destination(NamedTuple):
    """Who gets what is sent to a name; of a tag, it is one revision."""

    name: str  # NAME.NAMESPACE, or TAG-NAME.NAMESPACE
    service: Key
    shares: tuple[tuple[Key, int], ...]  # of a hundred: each the sum of those up to it
    tags: Mapping[str, Key]

    def pick(self, chance: float, tag: str = "") -> Key | None:
        """The revision for a request; `chance` is of 0 to 1. None: it has none."""
        if tag in self.tags:
            return self.tags[tag]
        if len(self.shares) == 1:
            return self.shares[0][0]
        at = chance * (self.shares[-1][1] if self.shares else 0)
        return next((revision for revision, share in self.shares if at < share), None)


class Found(NamedTuple):
    """Where a request goes; `target` is what is left of its own, and `prefix` what was taken.
    `bare`: there was nothing after it.
    """

    destination: Destination
    target: bytes
    prefix: str = ""
    bare: bool = False


class Table:
    """All routes there are."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._services = {each.service: _destination(each) for each in routes}
        self._names = {one.name: one for each in routes for one in _tagged(each)}
        self._names.update({each.name: each for each in self._services.values()})

    def of(self, service: Key) -> Destination | None:
        """Of a Service."""
        return self._services.get(service)

    def by_host(self, host: str) -> Destination | None:
        """Of an address: a host without its port, in lower case."""
        name, dot, domain = host.rpartition(".")
        return self._names.get(name) if dot and domain == DOMAIN else None

    def find(self, host: str, target: bytes) -> Found | None:
        """Where a request goes, if anybody is there."""
        if destination := self.by_host(host):
            return Found(destination, target)
        if is_address_of_function(host):
            return None
        return self._by_path(target)

    def near(self, host: str, target: bytes) -> str:
        """For a person who has looked in vain."""
        asked = host.rpartition(".")[0] if is_address_of_function(host) else _first(target)[0]
        known = {each.name.removesuffix(f".{NAMESPACE}") for each in self._services.values()}
        if not known:
            return f"nothing is called {asked or '/'}: no function is deployed here"
        wanted = asked.removesuffix(f".{NAMESPACE}")
        return f"nothing is called {wanted or '/'}: {did_you_mean(wanted, sorted(known))}"

    def _by_path(self, target: bytes) -> Found | None:
        name, rest = _first(target)
        full = name if "." in name else f"{name}.{NAMESPACE}"
        destination = self._names.get(full)
        if destination is None:
            return None
        left = rest if rest.startswith("/") else f"/{rest}"
        return Found(destination, left.encode("latin-1"), f"/{name}", left != rest)


@lru_cache(maxsize=1024)
def host_of(authority: bytes) -> str:
    """A Host without its port, in lower case."""
    told = authority.decode("latin-1").strip().lower()
    host, colon, port = told.rpartition(":")
    bare = host if colon and (port.isdigit() or not port) else told
    return bare.removesuffix(".")


@lru_cache(maxsize=1024)
def is_address_of_function(host: str) -> bool:
    """NAME.NAMESPACE.localhost, whether there is such a function or not."""
    return host.endswith(f".{DOMAIN}") and host.count(".") > 1


@lru_cache(maxsize=1024)
def is_ours(host: str, given: str = "") -> bool:
    """Whether it is a name of this machine: no web site can have it, and point it here.

    An address is, whose ever it is: a page that has one as its host was loaded from there.
    """
    if host == given.lower() or is_of_this_machine(host):
        return True
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def is_of_this_machine(host: str) -> bool:
    """Whether it is nobody else's: what comes from there, comes from here."""
    if host == DOMAIN or host.endswith(f".{DOMAIN}"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _first(target: bytes) -> tuple[str, str]:
    found = _PATH.fullmatch(target.decode("latin-1"))
    return (found[1].lower(), found[2]) if found else ("", "")


def _destination(route: Route) -> Destination:
    shares, total = [], 0
    for target in route.targets:
        total += target.percent
        if target.percent:
            shares.append((target.revision, total))
    name = f"{route.service.name}.{route.service.namespace}"
    return Destination(name, route.service, tuple(shares), route.tags)


def _tagged(route: Route) -> list[Destination]:
    key = route.service
    return [
        Destination(f"{tag}-{key.name}.{key.namespace}", key, ((revision, _ALL),), route.tags)
        for tag, revision in route.tags.items()
    ]
