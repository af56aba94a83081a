"""Base images, as they are asked for: from a registry, or from a folder with an OCI layout."""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError, RegistryFailed
from mlfunc.oci import layout, platforms, pull, reference
from mlfunc.oci.content import CONFIG, Bytes, Image, Source
from mlfunc.oci.failures import Missing, NoTls, Unreachable
from mlfunc.oci.registry import Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mlfunc.oci.content import Blob
    from mlfunc.oci.layout import Place
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Access

GIVEN = "MLFUNC_BASE_IMAGE"
_ELSEWHERE = (
    f"name one that can be reached: `build: {{base: ...}}` in mlfunc.yaml, or {GIVEN}=...; "
    "behind a proxy, set HTTPS_PROXY"
)
UPGRADE = "mlfunc build --upgrade takes what is there now"


@dataclass(frozen=True)
class Asked:
    """A base image by its name, for a platform: how it is reached, and where images go that are
    built on it.
    """

    name: str
    platform: str
    folder: Path  # of the project: paths of layouts are relative to it
    access: Access
    to: Reference | None = None

    @property
    def place(self) -> Place | None:
        """Where its layout is; None: it is in a registry."""
        place = layout.parse(self.name)
        return replace(place, path=(self.folder / place.path).absolute()) if place else None

    @property
    def everywhere(self) -> str:
        """Its name, as it means the same in every folder."""
        return str(self.place or self.name)

    @property
    def is_fixed(self) -> bool:
        """Whether there is just one that its name can stand for."""
        return self.place is not None or reference.parse(self.name).digest is not None


def look_for(asked: Asked) -> None:
    """Whether it is there, as far as its manifest tells.

    Raises:
        MlfuncError: it is not, or nobody answers.

    """
    if asked.place:
        layout.read(asked.place, asked.platform)
        return
    named = reference.parse(asked.name)
    with _explained(named):
        Remote(named, asked.access).manifest(named.target)


def load(asked: Asked, pinned: str | None = None) -> Image:
    """The image that its name stands for, or that mlfunc.lock has by its digest.

    Raises:
        MlfuncError: there is another one.
        RegistryFailed: it cannot be had.

    """
    if asked.place:
        return check(layout.read(asked.place, asked.platform), pinned, asked)
    named = reference.parse(asked.name)
    if pinned is None:
        return _pulled(named, asked)
    try:
        return _pulled(named.pinned(pinned), asked)
    except Missing as error:
        where = f"{named.registry}/{named.repository}"
        message = f"mlfunc.lock pins the base image {pinned}, which {where} has not"
        raise RegistryFailed(message, UPGRADE, evidence=error.evidence) from error


def remembered(asked: Asked, pinned: str, known: Mapping[str, Any]) -> Image:
    """A base that was looked through before, without asking anybody: its layers are fetched only
    where they are to be sent.
    """
    manifest = Bytes(known["manifest"].encode(), known["media_type"])
    again = functools.partial(load, asked, pinned)
    sources = (
        Source(platforms.descriptor(each), functools.partial(_open, again, number), _origins(asked))
        for number, each in enumerate(json.loads(manifest.data)["layers"])
    )
    return Image(manifest, Bytes(known["config"].encode(), CONFIG), tuple(sources))


def check(image: Image, pinned: str | None, asked: Asked) -> Image:
    """The image, if it is the one that is pinned.

    Raises:
        MlfuncError: it is another.

    """
    found = image.manifest.descriptor.digest
    if pinned and found != pinned:
        message = f"base image {asked.name} is {found}, and mlfunc.lock has {pinned}"
        raise MlfuncError(message, UPGRADE)
    return image


def _open(again: Callable[[], Image], number: int) -> Blob:
    return again().layers[number].open()


def _origins(asked: Asked) -> tuple[str, ...]:
    """Its own repository, where it is one of the registry that is pushed to."""
    if asked.to is None or asked.place:
        return ()
    named = reference.parse(asked.name)
    return (named.repository,) if named.registry == asked.to.registry else ()


def _pulled(named: Reference, asked: Asked) -> Image:
    with _explained(named):
        return pull.load(named, asked.platform, asked.access, to=asked.to)


@contextlib.contextmanager
def _explained(named: Reference) -> Iterator[None]:
    try:
        yield
    except Missing as error:
        message = f"there is no base image {named.name}"
        raise Missing(message, error.hint, evidence=error.evidence) from error
    except Unreachable as error:
        hint = error.hint if isinstance(error, NoTls) else _ELSEWHERE
        message = f"cannot get the base image {named.name}: {error.message}"
        raise RegistryFailed(message, hint) from error
