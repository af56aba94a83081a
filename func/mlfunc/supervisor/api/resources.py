"""Which path is which object, or which objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from mlfunc.cluster import kinds
from mlfunc.cluster.kinds import Kind

# Asked for by a preflight; there are none here.
LIMIT_RANGE = Kind("", "v1", "limitranges", "LimitRange")
ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")

KINDS = {
    (kind.group, kind.version, kind.plural): kind for kind in (*kinds.ALL, LIMIT_RANGE, ACCOUNT)
}
VERSIONS = frozenset((group, version) for group, version, _ in KINDS)
_PATH = re.compile(
    r"/(api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?"
    r"/(?P<plural>[^/]+)(/(?P<name>[^/]+)(/(?P<part>[^/]+))?)?/?"
)
_GROUP = re.compile(r"/(api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)/?")


@dataclass(frozen=True)
class Place:
    """Of one object, or, without a name, of those of a namespace or of all."""

    kind: Kind
    namespace: str | None = None
    name: str = ""
    part: str = ""  # such as `log` of a pod

    @property
    def at(self) -> tuple[Kind, str, str]:
        """As `Objects` has it."""
        return self.kind, self.namespace or "", self.name


def find(path: str) -> Place | None:
    """None: no kind that is known here."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    kind = KINDS.get((found["group"] or "", found["version"], found["plural"]))
    if kind is None or (found["namespace"] and not kind.namespaced):
        return None
    if kind.namespaced and found["name"] and not found["namespace"]:
        return None
    namespace = unquote(found["namespace"]) if found["namespace"] else None
    return Place(kind, namespace, unquote(found["name"] or ""), found["part"] or "")


def group(path: str) -> tuple[str, str] | None:
    """A group of kinds and its version; None: it is none that is known here."""
    found = _GROUP.fullmatch(path)
    at = (found["group"] or "", found["version"]) if found else None
    return at if at in VERSIONS else None
