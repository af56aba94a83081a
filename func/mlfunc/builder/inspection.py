"""What an image consists of, read back from its configuration: layers, sizes, what is below."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.builder import naming, previous
from mlfunc.errors import NotFound
from mlfunc.oci import content, layout, pull, reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlfunc.layers.store import Store
    from mlfunc.oci.content import Image
    from mlfunc.oci.transport import Access


@dataclass(frozen=True)
class Found:
    """A layer of an image; `size` of its blob in bytes."""

    name: str
    digest: str
    size: int
    place: str


@dataclass(frozen=True)
class Inspected:
    """An image as it is somewhere."""

    image: str
    digest: str
    platform: str
    layers: tuple[Found, ...]

    def as_data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {**asdict(self), "size": sum(layer.size for layer in self.layers)}


def of_store(title: str, store: Store) -> Inspected | None:
    """What was built last on this machine and is called so, in whatever registry it is."""
    name = next((each for each in store.images.names() if naming.title(each) == title), None)
    built = store.images.get(name) if name else None
    if name is None or built is None:
        return None
    manifest = json.loads(built.manifest)
    return inspect(name, content.digest(built.manifest), manifest["layers"], built.config)


def of_name(name: str, platform: str, access: Access) -> Inspected:
    """An image in a registry, in a folder or in an archive.

    Raises:
        NotFound: it is not there, or not for this platform.
        RegistryFailed: the registry refuses, or cannot be reached.

    """
    place = layout.parse(name)
    if place:
        image = layout.read(place, platform)
    else:
        image = pull.load(reference.parse(name), platform, access)
    return of_image(name, image)


def of_image(name: str, image: Image) -> Inspected:
    """An image that was read."""
    layers = [each.descriptor.as_json() for each in image.layers]
    return inspect(name, image.manifest.descriptor.digest, layers, image.config.data)


def inspect(
    name: str, digest: str, layers: Sequence[Mapping[str, Any]], config: bytes
) -> Inspected:
    """From what a manifest and a configuration say."""
    told = json.loads(config)
    ours = {each.digest: each for each in previous.told_by(config).values()}
    found = []
    for number, each in enumerate(layers, 1):
        known = ours.get(each["digest"])
        called, place = (known.name, known.place) if known else (f"base {number}", "/")
        found.append(Found(called, each["digest"], each["size"], place))
    platform = f"{told.get('os')}/{told.get('architecture')}"
    return Inspected(name, digest, platform, tuple(found))


def no_image(path: Path) -> NotFound:
    """What is named as a file, and is none with an image."""
    what = "is no archive of an image" if path.exists() else "is not there"
    return NotFound(f"{path} {what}", "mlfunc build --output image.tar writes one")


def missing(name: str) -> NotFound:
    """No such image was built here."""
    hint = "mlfunc build, or name one of a registry or oci:PATH"
    return NotFound(f"no image {name} was built on this machine", hint)
