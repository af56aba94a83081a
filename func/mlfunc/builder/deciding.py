"""What `mlfunc build` will do, before it does any of it.

Nothing is made and mlfunc.lock is not written: `--plan` ends here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc import function, lock
from mlfunc.builder import delivering, image, naming, parts, planning, previous, settling
from mlfunc.oci import reference
from mlfunc.packs import app, model
from mlfunc.packs.table import PACKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.base import Base
    from mlfunc.builder.delivering import Destination
    from mlfunc.builder.naming import Naming
    from mlfunc.builder.planning import Part, Step
    from mlfunc.builder.previous import Previous
    from mlfunc.function import Function, Platform
    from mlfunc.layers.making import Compression
    from mlfunc.layers.store import Store
    from mlfunc.oci.reference import Reference
    from mlfunc.packs.layer import Launch
    from mlfunc.packs.model import ModelImage
    from mlfunc.project import Project

_TAG_LENGTH = 12


@dataclass(frozen=True)
class Request:
    """What was asked for: the options of `mlfunc build`."""

    folder: Path
    image: str | None = None
    registry: str | None = None
    tags: tuple[str, ...] = ()
    platform: Platform | None = None
    push: bool | None = None  # None: where there is a registry, and no `output`
    output: Path | None = None
    upgrade: bool = False
    locked: bool = False
    compression: Compression | None = None
    insecure: bool = False

    @property
    def built_before(self) -> Reference | None:
        """The image that is named by its digest: there is nothing to build."""
        named = reference.parse(self.image) if self.image else None
        return named if named and named.digest else None


@dataclass(frozen=True)
class Planned:
    """An image to be, and what builds before it left."""

    naming: Naming
    steps: tuple[Step, ...]
    previous: Previous
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """All that is decided."""

    project: Project
    base: Base
    packs: tuple[str, ...]
    launch: Launch
    destination: Destination
    main: Planned
    models: Mapping[str, Planned]  # images of models that are mounted, by the model's name
    notes: tuple[str, ...]

    @property
    def to(self) -> Reference | None:
        """Where the function's image is pushed to."""
        return self.main.naming.references[0] if self.destination.pushes else None


def prepare(request: Request, workshop: Workshop) -> Prepared:
    """Decide.

    Raises:
        MlfuncError: it cannot be done.
        Cancelled: it was broken off.

    """
    loaded = function.load(request.folder)
    named = naming.named(loaded, image=request.image, registry=request.registry, tags=request.tags)
    destination = delivering.destination(
        named, request.push, request.output, insecure=request.insecure
    )
    workshop.watcher.phase("resolving")
    project, base = settling.settle(_settling(request, loaded, named, destination, workshop))
    if request.locked:
        settling.refuse_changes(lock.load(request.folder), project.lock)
    images = model.images(project)
    delivering.check_output(destination, [each.name for each in images])
    packs = tuple(pack for pack in PACKS if pack.detect(project) is not None)
    launch = image.together([pack.launch(project) for pack in packs])
    compression = request.compression or loaded.build.compression
    planner = _Planner(destination, project.target.platform, compression, workshop.store)
    main = planner.plan(named, parts.parts(project, packs, launch, base))
    return Prepared(
        project=project,
        base=base,
        packs=tuple(pack.ID for pack in packs),
        launch=launch,
        destination=destination,
        main=main,
        models=planner.models(named, images),
        notes=(*base.notes, *main.notes, *model.notes(project), *app.notes(project)),
    )


@dataclass(frozen=True)
class _Planner:
    """Plans images that go to one place."""

    destination: Destination
    platform: str
    compression: Compression
    store: Store

    def plan(self, named: Naming, own: Sequence[Part]) -> Planned:
        notes: list[str] = []
        found = delivering.present(named, self.platform, self.destination, notes.append)
        there = previous.read(found)
        built = self.store.images.get(named.here)
        last = there.records or (previous.told_by(built.config) if built else {})
        past = planning.Past(there.records, last, self.store.made)
        return Planned(named, planning.plan(own, past, self.compression), there, tuple(notes))

    def models(self, named: Naming, images: Sequence[ModelImage]) -> dict[str, Planned]:
        """An image of a model is named by what is in it and for what: it is there once, for all
        builds, and its tag stays, for registries drop what has none.
        """
        found = {}
        for each in images:
            own = parts.of_model(each)
            tag = f"{parts.digest(own)[:_TAG_LENGTH]}-{self.platform.rpartition('/')[2]}"
            found[each.name] = self.plan(naming.beside(named, each.name, tag), own)
        return found


def _settling(
    request: Request,
    loaded: Function,
    named: Naming,
    destination: Destination,
    workshop: Workshop,
) -> settling.Settling:
    return settling.Settling(
        folder=request.folder,
        function=loaded,
        store=workshop.store,
        platform=request.platform,
        upgrade=request.upgrade,
        access=destination.access,
        to=named.references[0] if destination.pushes else None,
        report=workshop.watcher.said,
        cancellation=workshop.cancellation,
    )
