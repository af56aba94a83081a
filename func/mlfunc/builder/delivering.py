"""Where an image goes: to a registry, into a folder or an archive, or nowhere but this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlfunc.errors import NotFound, UsageError
from mlfunc.layers.learnt import Built
from mlfunc.oci import layout, pull
from mlfunc.oci.push import Pushed, push
from mlfunc.oci.registry import Remote
from mlfunc.oci.transport import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.deciding import Planned
    from mlfunc.builder.naming import Naming
    from mlfunc.oci.content import Image

    Report = Callable[[str, int, int], None]  # digest, bytes done, size

Status = Literal["reused", "mounted", "built", "uploaded"]


@dataclass(frozen=True)
class Destination:
    """Where it goes; neither way: it is kept here, its layers at hand for a later push."""

    pushes: bool
    output: Path | None
    access: Access

    @property
    def phase(self) -> str:
        """What bringing it there is called."""
        return "pushing" if self.pushes else "saving" if self.output else "composing"


@dataclass(frozen=True)
class Delivered:
    """An image in its place: `statuses` are those of its blobs, by digest."""

    reference: str  # with its digest
    digest: str
    image: Image
    statuses: Mapping[str, Status]
    uploaded_bytes: int


def destination(
    named: Naming, pushes: bool | None, output: Path | None, *, insecure: bool = False
) -> Destination:
    """Where an image of this name goes.

    Raises:
        UsageError: it is to be pushed, and nothing says where to.

    """
    wanted = output is None and bool(named.references) if pushes is None else pushes
    if wanted and not named.references:
        message = f"nothing says which registry {named.name} is to be pushed to"
        hint = "--registry registry.example.com/team, or `registry:` in mlfunc.yaml"
        raise UsageError(message, f"{hint}; mlfunc deploy --platform local needs none")
    access = Access(os.environ, own=named.registry, insecure=insecure)
    return Destination(wanted, output, access)


def check_output(to: Destination, models: Sequence[str]) -> None:
    """Whether the images of models have a place where the function's goes.

    Raises:
        UsageError: an archive holds one image.

    """
    if to.output and layout.is_archive(to.output) and models:
        message = f"model {models[0]} has an image of its own, and {to.output} holds one image"
        hint = (
            "--output FOLDER holds all; or `delivery: baked`, which puts the model into the image"
        )
        raise UsageError(message, hint)


def present(
    named: Naming, platform: str, to: Destination, replaces: Callable[[str], None] = lambda _: None
) -> Image | None:
    """The image that has the name now, for this platform, where this build is going.

    `replaces` is told where the name is that of something else, which it will be no more.
    """
    if not to.pushes:
        return None
    first = named.references[0]
    digest = Remote(first, to.access).manifest_digest(first.target)
    if digest is None:
        return None
    try:
        return pull.load(first.pinned(digest), platform, to.access, to=first)
    except NotFound:
        replaces(f"{first} is no image for {platform}, and is replaced; --tag NAME keeps both")
        return None


def deliver(image: Image, plan: Planned, to: Destination, workshop: Workshop) -> Delivered:
    """Bring an image where it belongs, and remember it.

    Raises:
        RegistryFailed: a registry refuses, or broke off; what it has got it keeps.
        MlfuncError: the folder or the archive cannot be written, or a layer not be made again.

    """
    named, digest = plan.naming, image.manifest.descriptor.digest
    report = _reporter(image, plan, workshop)
    pushed = _push(image, named, to, report, workshop) if to.pushes else Pushed(digest, {}, 0)
    if to.output:
        layout.write(image, to.output, named.whole, report)
    told = Built(image.manifest.data, image.config.data)
    workshop.store.images.put(named.here, told)
    return Delivered(f"{named.name}@{digest}", digest, image, pushed.blobs, pushed.uploaded_bytes)


def _push(
    image: Image, named: Naming, to: Destination, report: Report, workshop: Workshop
) -> Pushed:
    first, *others = named.references
    pushed = push(
        image,
        first,
        tags=[each.target for each in others],
        access=to.access,
        sessions=workshop.store.sessions,
        report=report,
    )
    workshop.store.origins.add(first.registry, first.repository, *pushed.blobs)
    return pushed


def _reporter(image: Image, plan: Planned, workshop: Workshop) -> Report:
    """Blobs by the names of their layers: what a digest is, nobody knows."""
    own = [step.part.layer.name for step in plan.steps]
    called = [*["base"] * (len(image.layers) - len(own)), *own]
    digests = (each.descriptor.digest for each in image.layers)
    names = dict(zip(digests, called, strict=True))

    def report(digest: str, done: int, total: int) -> None:
        workshop.cancellation.check()
        workshop.watcher.moved(names.get(digest, "configuration"), done, total)

    return report
