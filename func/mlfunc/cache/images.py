"""What builds keep of images, as items of the cache: of each name what was built last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlfunc.cache import disk
from mlfunc.cache.items import Item
from mlfunc.layers import store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mlfunc.layers.blobs import Kept
    from mlfunc.layers.learnt import Built
    from mlfunc.layers.store import Store


def find() -> Iterator[Item]:
    """Images that have layers here, and the layers of no image: those of builds before."""
    if not store.place().is_dir():
        return
    with store.opened() as opened:
        yield from _find(opened)


def remove(item: Item) -> None:
    """Forget an image, if its project is gone, too; its layers stay until `remove_layers`."""
    if not item.projects:
        with store.opened() as opened:
            opened.images.forget(item.key)


def remove_layers(digests: Collection[str]) -> set[str]:
    """Take away those that no program works with; says which."""
    if not digests:
        return set()
    with store.opened() as opened:
        return {digest for digest in digests if opened.blobs.remove(digest)}


def _find(opened: Store) -> Iterator[Item]:
    blobs = opened.blobs.all()
    images = [_image(name, built, blobs) for name, built in opened.images.all().items()]
    yield from (image for image in images if image.parts)
    of_images = {digest for image in images for digest in image.parts}
    yield from (_layer(digest, blobs[digest]) for digest in sorted(blobs.keys() - of_images))


def _image(name: str, built: Built, blobs: Mapping[str, Kept]) -> Item:
    layers = {layer["digest"] for layer in json.loads(built.manifest)["layers"]}
    here = {digest: blobs[digest] for digest in layers & blobs.keys()}
    parts = {digest: disk.size_of(each.facts) for digest, each in here.items()}
    busy = any(each.held for each in here.values())
    return Item("image", name, name, store.place(), parts, built.at, busy=busy)


def _layer(digest: str, kept: Kept) -> Item:
    parts, used = {digest: disk.size_of(kept.facts)}, kept.facts.st_atime
    name = "a layer of no image"
    return Item("layer", digest, name, store.place(), parts, used, busy=kept.held)
