"""The executor of a plan: layers that are not known yet are made, side by side.

A layer that is known is not touched. Its bytes are looked for only when they are asked for:
here, in the image before, and at last by making it again.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

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
_LEAVE_SECONDS = 2  # for layers to notice that another one failed


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
    todo: SimpleQueue[tuple[int, Step]] = SimpleQueue()
    done: SimpleQueue[tuple[int, Laid | BaseException]] = SimpleQueue()
    for each in enumerate(steps):
        todo.put(each)
    threads = [
        # Of no executor: Python would wait for its threads, with all that they wait for, after
        # Ctrl-C. What they have started ends with us, and what it left goes with the next build.
        threading.Thread(target=_work, args=(todo, done, workshop), daemon=True)
        for _ in range(min(_AT_ONCE, len(steps)))
    ]
    for thread in threads:
        thread.start()
    try:
        return _collected(done, len(steps))
    except BaseException:
        workshop.cancellation.cancel()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def _work(
    todo: SimpleQueue[tuple[int, Step]],
    done: SimpleQueue[tuple[int, Laid | BaseException]],
    workshop: Workshop,
) -> None:
    with contextlib.suppress(Empty):
        while True:
            number, step = todo.get_nowait()
            try:
                done.put((number, _laid(step, workshop)))
            except BaseException as error:
                done.put((number, error))
                return


def _collected(done: SimpleQueue[tuple[int, Laid | BaseException]], count: int) -> list[Laid]:
    """All of them, in their order; the first failure is that of all."""
    laid: dict[int, Laid] = {}
    while len(laid) < count:
        number, result = done.get()
        if isinstance(result, BaseException):
            raise result
        laid[number] = result
    return [laid[number] for number in range(count)]


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
