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

from mlfunc.builder import contents
from mlfunc.builder.image import Below
from mlfunc.errors import MlfuncError, RegistryFailed, UsageError
from mlfunc.lock import BasePin
from mlfunc.oci import layout, platforms, pull, reference
from mlfunc.oci.content import CONFIG, Bytes, Image, Source
from mlfunc.oci.failures import Unreachable

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
# What the wheels are built for that are asked for: manylinux_2_28.
_GLIBC = (2, 28)
_INTERPRETERS = ("/usr/local/bin/python{}", "/usr/bin/python{}", "/opt/venv/bin/python{}")
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
class Facts:
    """What was found in a base image, once: it depends on the digest alone."""

    manifest: str
    media_type: str
    config: str
    pythons: Mapping[str, str]  # version -> path of the interpreter: {"3.11": "/usr/local/bin/..."}
    shell: bool
    glibc: tuple[int, int] | None
    musl: bool


@dataclass(frozen=True)
class Base:
    """A base image that fits: its pin, and all of it as an image."""

    name: str  # as it can be asked for; no path of this machine
    pin: BasePin
    image: Image

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
    facts = _facts(image, finder)
    path = check(choice.image, facts, target)
    pin = BasePin(choice.known_as, image.manifest.descriptor.digest, path)
    return Base(_without_path(choice.image), pin, image)


def check(name: str, facts: Facts, target: Target) -> str:
    """The path of its interpreter.

    Raises:
        UsageError: it cannot be the base.

    """
    config = json.loads(facts.config)
    arch = f"{config.get('os')}/{config.get('architecture')}"
    if arch != target.platform:
        raise UsageError(
            f"base image {name} is for {arch}, not {target.platform}", _another(target)
        )
    if facts.musl and facts.glibc is None:
        message = f"base image {name} has musl (Alpine), and wheels of Python need glibc"
        raise UsageError(message, _another(target))
    if facts.glibc and facts.glibc < _GLIBC:
        message = (
            f"base image {name} has glibc {_dotted(facts.glibc)}; wheels need {_dotted(_GLIBC)}"
        )
        raise UsageError(message, _another(target))
    if not facts.shell:
        raise UsageError(f"base image {name} has no /bin/sh, which starts it", _another(target))
    if target.python not in facts.pythons:
        there = ", ".join(sorted(facts.pythons)) or "none"
        message = f"base image {name} has no Python {target.python}; there is {there}"
        raise UsageError(message, f"set `python:` in mlfunc.yaml, or {_another(target)}")
    return facts.pythons[target.python]


def _without_path(name: str) -> str:
    return f"{_LAYOUT}{PurePath(name).name}" if name.startswith(_LAYOUT) else name


def _another(target: Target) -> str:
    return f"name another in `build: {{base: ...}}`: docker.io/library/python:{target.python}-slim"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def look(image: Image, report: Callable[[str], None] = lambda _: None) -> Facts:
    """Look through an image's layers: all of them are read, none is kept."""
    found = []
    for number, source in enumerate(image.layers, 1):
        report(f"looking for Python in layer {number} of {len(image.layers)} of the base image")
        found.append(contents.read(source.open().read(), source.descriptor.media_type))
    return facts_of(image, contents.over(found))


def facts_of(image: Image, found: contents.Contents) -> Facts:
    """What matters of an image's contents."""
    versions = {_version(path) for path in found.paths}
    paths = {
        version: path.format(version)
        for version in sorted(filter(None, versions))
        for path in reversed(_INTERPRETERS)
        if found.find(path.format(version))
    }
    return Facts(
        manifest=image.manifest.data.decode(),
        media_type=image.manifest.media_type,
        config=image.config.data.decode(),
        pythons=paths,
        shell=found.find("/bin/sh") is not None,
        glibc=found.glibc,
        musl=any(path.startswith("lib/ld-musl-") for path in found.paths),
    )


def _version(path: str) -> str | None:
    _, slash, version = path.rpartition("bin/python3.")
    return f"3.{version}" if slash and version.isdigit() else None


def _facts(image: Image, finder: Finder) -> Facts:
    digest = image.manifest.descriptor.digest
    if known := finder.store.bases.get(digest):
        return _decoded(known)
    facts = look(image, finder.report)
    finder.store.bases.put(digest, vars(facts))
    return facts


def _decoded(known: Mapping[str, Any]) -> Facts:
    glibc = known["glibc"]
    return Facts(**{**known, "glibc": tuple(glibc) if glibc else None})


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
        message = f"cannot get the base image {named.name}: {error.message}"
        raise RegistryFailed(message, _ELSEWHERE) from error


def _checked(image: Image, digest: str | None, choice: Choice) -> Image:
    found = image.manifest.descriptor.digest
    if digest and found != digest:
        message = f"base image {choice.image} is {found}, and mlfunc.lock has {digest}"
        raise MlfuncError(message, "mlfunc build --upgrade takes what is there now")
    return image
