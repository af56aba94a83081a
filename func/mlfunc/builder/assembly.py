"""The executor of a plan: layers that are not known yet are made, side by side.

A layer that is known is not touched. Its bytes are looked for only when they are asked for:
here, in the image before, and at last by making it again.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mlfunc import abreast
from mlfunc.builder.image import Laid
from mlfunc.layers.making import Made
from mlfunc.oci.content import Source
from mlfunc.packs.layer import Making
from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.planning import Step
    from mlfunc.builder.previous import Previous
    from mlfunc.layers.store import Store
    from mlfunc.oci.content import Blob
    from mlfunc.oci.reference import Reference

# Installers and archives wait for disks as much as they compute.
_AT_ONCE = 4


class Watcher(Protocol):
    """Who is told how far a build is, from any thread."""

    def phase(self, name: str) -> None:
        """The next part of the build begins."""
        ...

    def said(self, text: str) -> None:
        """What it is at, in words."""
        ...

    def moved(self, name: str, done: int, total: int | None) -> None:
        """So many bytes of a layer are made, or sent."""
        ...


@dataclass(frozen=True)
class Workshop:
    """What layers are made with."""

    store: Store
    watcher: Watcher
    cancellation: Cancellation = field(default_factory=Cancellation)
    to: Reference | None = None  # where the image will be pushed

    @property
    def making(self) -> Making:
        """What a layer has to know to be made here."""
        return Making(self.cancellation, self.watcher.said, self.store.hashes.of_all)


def make(steps: Sequence[Step], workshop: Workshop) -> list[Laid]:
    """Every layer of the plan, as it lies in the image.

    Raises:
        MlfuncError: one cannot be made.
        Cancelled: it was broken off.

    """
    return abreast.each(
        lambda step: _laid(step, workshop),
        steps,
        at_once=_AT_ONCE,
        stop=workshop.cancellation.cancel,
    )


def _laid(step: Step, workshop: Workshop) -> Laid:
    part = step.part
    if step.made:
        return Laid(part, step.made)
    if part.layer.taken:
        diff_id, source = part.layer.taken(workshop.to)
        return Laid(part, Made(diff_id, source.descriptor), source)
    return Laid(part, _made(step, workshop))


def _made(step: Step, workshop: Workshop) -> Made:
    layer = step.part.layer
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        workshop.cancellation.check()
        done += count
        workshop.watcher.moved(layer.name, done, layer.size)

    progress(0)
    tree = functools.partial(layer.make, workshop.making)
    made = workshop.store.obtain(layer.key, tree, step.compression, progress, workshop.cancellation)
    workshop.watcher.moved(layer.name, done, done)
    return made


def source(laid: Laid, previous: Previous, origins: tuple[str, ...], workshop: Workshop) -> Source:
    """The bytes of a layer, for whoever lacks them."""
    layer, made = laid.part.layer, laid.made
    there = previous.sources.get(made.descriptor.digest)

    def opened() -> Blob:
        if kept := workshop.store.blobs.find(made.descriptor):
            return kept
        if there:
            return there.open()
        if layer.taken:
            return layer.taken(workshop.to)[1].open()
        return workshop.store.open(layer.key, made, functools.partial(layer.make, workshop.making))

    if laid.source:
        return laid.source
    return Source(made.descriptor, opened, origins)
