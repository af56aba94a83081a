"""What builds keep of images, as items of the cache: of each name what was built last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlfunc.cache import disk
from mlfunc.cache.items import Item
from mlfunc.layers import store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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
    sizes = {digest: disk.size_of(facts) for digest, facts in blobs.items()}
    images = [_image(name, built, sizes) for name, built in opened.images.all().items()]
    yield from (image for image in images if image.parts)
    of_images = {digest for image in images for digest in image.parts}
    for digest in sizes.keys() - of_images:
        parts = {digest: sizes[digest]}
        used = blobs[digest].st_atime
        yield Item("layer", digest, "a layer of no image", store.place(), parts, used)


def _image(name: str, built: Built, sizes: Mapping[str, int]) -> Item:
    layers = {layer["digest"] for layer in json.loads(built.manifest)["layers"]}
    parts = {digest: sizes[digest] for digest in layers & sizes.keys()}
    return Item("image", name, name, store.place(), parts, built.at)
