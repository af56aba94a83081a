"""Bases that a variable names, in a registry: what mlfunc.lock has goes by no name that lacks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc.builder import base, fetching
from mlfunc.builder.base import Base, Choice, Finder
from mlfunc.builder.facts import Facts
from mlfunc.builder.fetching import Asked
from mlfunc.errors import MlfuncError, RegistryFailed
from mlfunc.layers import store
from mlfunc.oci import push, reference
from mlfunc.oci.content import MANIFEST
from mlfunc.oci.transport import Access
from mlfunc.project import Target

from tests.func.oci.conftest import image_of
from tests.rig.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.layers.store import Store
    from mlfunc.lock import BasePin
    from mlfunc.oci.content import Image

    from tests.rig.registry import Registry

TARGET = Target("linux/amd64", "3.11", "cpu")


@dataclass(frozen=True)
class Shelf:
    """A registry with a base and its patch: `stable:1` and `mirror:1` are the first, `stable:2`
    and `patched:1` the second.
    """

    registry: Registry
    store: Store

    def settle(self, name: str, previous: BasePin | None = None) -> Base:
        """As `mlfunc build` does it, with the name in MLFUNC_BASE_IMAGE."""
        choice = Choice(f"{self.registry.address}/{name}", "$MLFUNC_BASE_IMAGE")
        return base.settle(choice, TARGET, previous, Finder(self.store, Path(), Access(waits=())))

    def asked(self, name: str) -> Asked:
        return Asked(f"{self.registry.address}/{name}", "linux/amd64", Path(), Access(waits=()))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    names = {"first": ("stable:1", "mirror:1"), "patched": ("stable:2", "patched:1")}
    with registry(tmp_path_factory.mktemp("bases") / "registry") as here:
        for note, called in names.items():
            for name in called:
                push.push(image_of(note.encode()), reference.parse(f"{here.address}/{name}"))
        yield here


@pytest.fixture
def shelf(filled: Registry) -> Iterator[Shelf]:
    with store.opened() as opened:
        for note in ("first", "patched"):
            image = image_of(note.encode())
            opened.bases.put(image.manifest.descriptor.digest, vars(_looked_through(image)))
        yield Shelf(filled, opened)


def _looked_through(image: Image) -> Facts:
    """As if there had been a Python in it."""
    return Facts(
        manifest=image.manifest.data.decode(),
        media_type=MANIFEST,
        config=image.config.data.decode(),
        pythons={"3.11": "/usr/local/bin/python3.11"},
        shell=True,
        glibc=(2, 36),
        musl=False,
        bare={},
    )


def test_a_mirror_of_the_pinned_base_is_asked_once(shelf: Shelf) -> None:
    pin = shelf.settle("stable:1").pin
    mirrored = shelf.settle("mirror:1", pin)
    assert (mirrored.pin, mirrored.notes) == (pin, ())
    assert mirrored.name == f"{shelf.registry.address}/mirror:1"

    requests = shelf.registry.log.count("GET /v2/mirror/")
    shelf.settle("mirror:1", pin)
    assert shelf.registry.log.count("GET /v2/mirror/") == requests > 0


def test_a_repository_without_the_pinned_base_is_refused(shelf: Shelf) -> None:
    pin = shelf.settle("stable:1").pin
    with pytest.raises(RegistryFailed, match=f"pins the base image {pin.digest}") as refused:
        shelf.settle("patched:1", pin)
    assert refused.value.message.endswith("/patched has not")
    assert "--upgrade" in refused.value.hint


def test_a_tag_that_is_another_base_by_now_is_told_at_each_build(shelf: Shelf) -> None:
    pin = shelf.settle("stable:1").pin
    for _ in range(2):
        settled = shelf.settle("stable:2", pin)
        assert settled.pin == pin
        assert len(settled.notes) == 1
        assert "stable:2 is sha256:" in settled.notes[0]


def test_another_digest_is_refused(shelf: Shelf) -> None:
    pin, other = shelf.settle("stable:1").pin, shelf.settle("stable:2").pin.digest
    with pytest.raises(MlfuncError, match=rf"is {other}, and mlfunc\.lock has {pin.digest}"):
        shelf.settle(f"stable@{other}", pin)


def test_a_base_that_is_nowhere_is_named(shelf: Shelf) -> None:
    with pytest.raises(RegistryFailed, match=r"no base image 127\.0\.0\.1:\d+/bose/python:1"):
        shelf.settle("bose/python:1")


def test_what_is_looked_for_is_there_or_told(shelf: Shelf, tmp_path: Path) -> None:
    fetching.look_for(shelf.asked("stable:1"))
    with pytest.raises(RegistryFailed, match="there is no base image"):
        fetching.look_for(shelf.asked("stable:3"))
    with pytest.raises(MlfuncError, match="nowhere"):
        fetching.look_for(Asked("oci:nowhere", "linux/amd64", tmp_path, Access()))
