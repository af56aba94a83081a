"""The image below: which it is, pinned by its digest, and looked through once for its Python.

It comes from a registry, or from a folder with an OCI layout (`oci:PATH`). CUDA and its like are
not looked for: accelerators' libraries come with the packages.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlfunc.builder import facts, fetching
from mlfunc.builder.fetching import GIVEN, Asked
from mlfunc.builder.image import Below
from mlfunc.lock import BasePin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlfunc.function import Function
    from mlfunc.layers.store import Store
    from mlfunc.oci.content import Image
    from mlfunc.oci.reference import Reference
    from mlfunc.oci.transport import Access
    from mlfunc.project import Target

_LAYOUT = "oci:"


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
    notes: tuple[str, ...] = ()

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
        MlfuncError: what its name stands for is not what was pinned.
        RegistryFailed: it cannot be had.

    """
    pinned = previous.digest if previous and previous.image == choice.known_as else None
    asked = Asked(choice.image, target.platform, finder.folder, finder.access, finder.to)
    image, notes = _image(choice, asked, pinned, finder)
    found = _facts(image, finder)
    path = facts.check(choice.image, found, target)
    digest = image.manifest.descriptor.digest
    if not notes and asked.everywhere not in found.names:
        names = (*found.names, asked.everywhere)
        finder.store.bases.put(digest, vars(replace(found, names=names)))
    pin = BasePin(choice.known_as, digest, path)
    return Base(_without_path(choice.image), pin, image, found.bare.get(target.python), notes)


def _image(
    choice: Choice, asked: Asked, pinned: str | None, finder: Finder
) -> tuple[Image, tuple[str, ...]]:
    """The image, and what is to be said of it."""
    if pinned is None:
        return fetching.load(asked), ()
    known = finder.store.bases.get(pinned) or {}
    is_by_variable = choice.image != choice.known_as
    if is_by_variable and asked.everywhere not in known.get("names", ()):
        return _confirmed(asked, pinned)
    return fetching.remembered(asked, pinned, known) if known else fetching.load(asked, pinned), ()


def _confirmed(asked: Asked, pinned: str) -> tuple[Image, tuple[str, ...]]:
    """The pinned base, where a variable names it: that may name another one since."""
    now = fetching.load(asked)
    digest = now.manifest.descriptor.digest
    if digest == pinned or asked.is_fixed:
        return fetching.check(now, pinned, asked), ()
    note = f"{asked.name} is {digest} now, and mlfunc.lock has {pinned}: {fetching.UPGRADE}"
    return fetching.load(asked, pinned), (note,)


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
