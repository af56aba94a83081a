"""The image below: which it is, pinned by its digest, and looked through once for its Python.

It comes from a registry, or from a folder with an OCI layout (`oci:PATH`). CUDA and its like are
not looked for: accelerators' libraries come with the packages.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from mlfunc.builder import facts
from mlfunc.builder.image import Below
from mlfunc.errors import MlfuncError, RegistryFailed
from mlfunc.lock import BasePin
from mlfunc.oci import layout, platforms, pull, reference
from mlfunc.oci.content import CONFIG, Bytes, Image, Source
from mlfunc.oci.failures import NoTls, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlfunc.function import Function
    from mlfunc.layers.store import Store
    from mlfunc.oci.content import Blob
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Access
    from mlfunc.project import Target

GIVEN = "MLFUNC_BASE_IMAGE"
_LAYOUT = "oci:"
_ELSEWHERE = (
    f"name one that can be reached: `build: {{base: ...}}` in mlfunc.yaml, or {GIVEN}=...; "
    "behind a proxy, set HTTPS_PROXY"
)


@dataclass(frozen=True)
class Choice:
    """A base image as it was named. `known_as` is what mlfunc.lock calls it: a variable may name
    a mirror that only this machine reaches, while the digest is the same everywhere.
    """

    image: str
    known_as: str


@dataclass(frozen=True)
class Base:
    """A base image that fits: its pin, and all of it as an image."""

    name: str  # as it can be asked for; no path of this machine
    pin: BasePin
    image: Image
    bare: str | None = None  # usr/local/lib/python3.11, where no compiled modules are there

    @property
    def named(self) -> dict[str, str]:
        """What an image on it says of it."""
        top = self.below.diff_ids[-1]
        # Other tools know no scheme in front of a name.
        name = self.name.removeprefix("http://")
        return {"image": name, "digest": self.pin.digest, "top_layer": top}

    @property
    def below(self) -> Below:
        """As an image is composed on it; layers of Docker's types have those of OCI."""
        layers = [each.descriptor.as_json() for each in self.image.layers]
        return Below(layers, json.loads(self.image.config.data))


def choose(function: Function, python: str, environ: Mapping[str, str] = os.environ) -> Choice:
    """Which image is the base."""
    if function.build.base:
        return Choice(function.build.base, function.build.base)
    if given := environ.get(GIVEN):
        return Choice(given, f"${GIVEN}")
    name = f"docker.io/library/python:{python}-slim"
    return Choice(name, name)


@dataclass(frozen=True)
class Finder:
    """Who gets a base image: with what store, over which network, and where it will be pushed."""

    store: Store
    folder: Path
    access: Access
    to: Reference | None = None
    report: Callable[[str], None] = lambda _: None


def settle(choice: Choice, target: Target, previous: BasePin | None, finder: Finder) -> Base:
    """The base as it was pinned, where it is still asked for by that name, else as it is now.

    Raises:
        UsageError: it has no Python of this version, no shell, or a C library that does not fit.
        RegistryFailed: it cannot be had.

    """
    pinned = previous.digest if previous and previous.image == choice.known_as else None
    load = _loader(choice, target, pinned, finder)
    known = finder.store.bases.get(pinned) if pinned else None
    image = _remembered(known, load, _origins(choice, finder)) if known else load()
    found = _facts(image, finder)
    path = facts.check(choice.image, found, target)
    pin = BasePin(choice.known_as, image.manifest.descriptor.digest, path)
    return Base(_without_path(choice.image), pin, image, found.bare.get(target.python))


def _without_path(name: str) -> str:
    return f"{_LAYOUT}{PurePath(name).name}" if name.startswith(_LAYOUT) else name


def _facts(image: Image, finder: Finder) -> facts.Facts:
    digest = image.manifest.descriptor.digest
    known = finder.store.bases.get(digest)
    if known and "bare" in known:  # else an earlier version looked
        return facts.decoded(known)
    found = facts.look(image, finder.report)
    finder.store.bases.put(digest, vars(found))
    return found


def _remembered(
    known: Mapping[str, Any], load: Callable[[], Image], origins: tuple[str, ...]
) -> Image:
    """A base that was looked through before, without asking anybody: its layers are fetched only
    where they are to be sent.
    """
    manifest = Bytes(known["manifest"].encode(), known["media_type"])
    layers = json.loads(manifest.data)["layers"]
    sources = (
        Source(platforms.descriptor(each), functools.partial(_open, load, number), origins)
        for number, each in enumerate(layers)
    )
    return Image(manifest, Bytes(known["config"].encode(), CONFIG), tuple(sources))


def _open(load: Callable[[], Image], number: int) -> Blob:
    return load().layers[number].open()


def _origins(choice: Choice, finder: Finder) -> tuple[str, ...]:
    """Its own repository, where it is one of the registry that is pushed to."""
    if finder.to is None or layout.parse(choice.image):
        return ()
    named = reference.parse(choice.image)
    return (named.repository,) if named.registry == finder.to.registry else ()


def _loader(
    choice: Choice, target: Target, digest: str | None, finder: Finder
) -> Callable[[], Image]:
    """What gets it; nothing is asked for yet."""
    if place := layout.parse(choice.image):
        here = replace(place, path=finder.folder / place.path)
        return lambda: _checked(layout.read(here, target.platform), digest, choice)
    named = reference.parse(choice.image)
    pinned = named.pinned(digest) if digest else named
    return lambda: _pulled(pinned, target, finder)


def _pulled(named: Reference, target: Target, finder: Finder) -> Image:
    try:
        return pull.load(named, target.platform, finder.access, to=finder.to)
    except Unreachable as error:
        hint = error.hint if isinstance(error, NoTls) else _ELSEWHERE
        message = f"cannot get the base image {named.name}: {error.message}"
        raise RegistryFailed(message, hint) from error


def _checked(image: Image, digest: str | None, choice: Choice) -> Image:
    found = image.manifest.descriptor.digest
    if digest and found != digest:
        message = f"base image {choice.image} is {found}, and mlfunc.lock has {digest}"
        raise MlfuncError(message, "mlfunc build --upgrade takes what is there now")
    return image
