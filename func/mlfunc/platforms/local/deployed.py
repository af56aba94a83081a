"""Which releases are deployed here, whether or not a supervisor runs, and what each uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.knative.names import SERVICE
from mlfunc.platforms.local import connecting
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import releases
from mlfunc.supervisor.state import keeping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlfunc.cluster.client import Object
    from mlfunc.supervisor.home import Home

# In this order: what is named by one that goes meanwhile is named by the next by then.
_NAMING = (kinds.SERVICE, kinds.REVISION, kinds.POD)
_UNKNOWN = "?"


@dataclass(frozen=True)
class Deployed:
    """A release from which instances are, or may be, started."""

    function: str  # NAME, or NAMESPACE/NAME
    digest: str
    environment: Path
    models: tuple[Path, ...]


def find(home: Home) -> tuple[Deployed, ...]:
    """All of them; while a supervisor begins or ends, all that are there.

    Raises:
        MlfuncError: the platform does not say.

    """
    names = _names(home)
    return tuple(
        Deployed(
            _UNKNOWN if names is None else names[each.digest],
            each.digest,
            each.environment,
            each.models,
        )
        for each in releases.records(home)
        if names is None or each.digest in names
    )


def _names(home: Home) -> Mapping[str, str] | None:
    """The functions of releases, by their digests; None: nobody can say now."""
    if homes.found(home):
        cluster = connecting.connect(home)
        return _named(each for kind in _NAMING for each in cluster.list(kind, everywhere=True))
    if homes.is_held(home.lock):
        return None
    if not home.state.exists():
        return {}
    with home.usable():
        kept = keeping.read(home.state)
    return _named(found for (kind, _, _), found in kept.items() if kind in _NAMING)


def _named(objects: Iterable[Object]) -> dict[str, str]:
    found = ((_image(each), each["metadata"]) for each in objects)
    return {digest: _name(meta) for image, meta in found if (digest := releases.digest_of(image))}


def _image(found: Object) -> str:
    """Of a Service, a revision or a pod."""
    spec = found["spec"]
    (container, *_) = (spec.get("template") or found)["spec"]["containers"]
    return str(container.get("image", ""))


def _name(meta: Object) -> str:
    name, namespace = meta.get("labels", {}).get(SERVICE, meta["name"]), meta["namespace"]
    return str(name) if namespace == "default" else f"{namespace}/{name}"
