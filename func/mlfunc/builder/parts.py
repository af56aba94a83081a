"""The layers of an image, bottom first: those of its buildpacks, then the builder's own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlfunc import __version__
from mlfunc.builder import library, outfit
from mlfunc.builder.planning import Part
from mlfunc.packs.layer import WORKSPACE, place
from mlfunc.wheels import sbom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.base import Base
    from mlfunc.packs.layer import Launch, Layer, Pack
    from mlfunc.packs.model import ModelImage
    from mlfunc.project import Project


def parts(project: Project, packs: Sequence[Pack], launch: Launch, base: Base) -> tuple[Part, ...]:
    """The layers of the function's image."""
    bill = outfit.sbom(sbom.document(project))
    of_packs = (_part(pack.ID, layer) for pack in packs for layer in pack.layers(project))
    *below, app = of_packs
    return (
        *_of_base(base, project.target.python),
        *below,
        bill,
        app,
        *outfit.outfit(launch, [pack.ID for pack in packs]),
    )


def _of_base(base: Base, python: str) -> tuple[Part, ...]:
    """What the base lacks, beside its own."""
    found = library.layer(base, python)
    return (Part(found, "", f"/{base.bare}", "Compiled standard library"),) if found else ()


def of_model(image: ModelImage) -> tuple[Part, ...]:
    """The layers of an image with a model alone."""
    return tuple(_part("mlfunc/model", layer) for layer in image.layers)


def digest(parts: Sequence[Part]) -> str:
    """What names these layers before they are made."""
    return hashlib.sha256("\n".join(part.layer.key for part in parts).encode()).hexdigest()


def _part(pack: str, layer: Layer) -> Part:
    if place(pack, layer.folder) == place("mlfunc/app", "app"):
        return Part(layer, "", WORKSPACE, "Application Layer")
    history = f"Layer: '{layer.folder}', Created by buildpack: {pack}@{__version__}"
    return Part(layer, pack, place(pack, layer.folder), history)
