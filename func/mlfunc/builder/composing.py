"""Images, from layers that are made and from what was decided. No byte of a layer is read."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlfunc.builder import assembly, image, labels
from mlfunc.errors import UsageError
from mlfunc.oci.content import Image
from mlfunc.packs import model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.deciding import Planned, Prepared
    from mlfunc.builder.image import Laid
    from mlfunc.oci.content import Descriptor, Source

EPOCH = "SOURCE_DATE_EPOCH"
_LATEST = 253402300799  # the end of the year 9999: RFC 3339 knows no later one


def of_function(
    prepared: Prepared, laid: Sequence[Laid], beside: Mapping[str, str], workshop: Workshop
) -> Image:
    """The function's image; `beside` are the references of images of its models."""
    project, base = prepared.project, prepared.base
    told = {model.LABEL: model.label(project, beside)} if beside else {}
    launch = replace(
        prepared.launch,
        env={**prepared.launch.env, **project.function.plain_env},
        labels={**prepared.launch.labels, **told},
    )
    said = labels.labels(laid, launch, prepared.packs, base.named, project.function.name)
    manifest, config = image.compose(base.below, laid, launch, said, epoch=epoch())
    below = tuple(
        replace(each, origins=(*each.origins, *_seen(prepared.main, each.descriptor, workshop)))
        for each in base.image.layers
    )
    return Image(manifest, config, (*below, *_sources(prepared.main, laid, workshop)))


def of_model(prepared: Prepared, name: str, laid: Sequence[Laid], workshop: Workshop) -> Image:
    """The image of a model alone."""
    (found,) = (each for each in model.images(prepared.project) if each.name == name)
    arch = prepared.project.target.arch
    manifest, config = image.plain(laid, found.labels, arch, epoch=epoch())
    return Image(manifest, config, _sources(prepared.models[name], laid, workshop))


def epoch(environ: Mapping[str, str] = os.environ) -> int | None:
    """When images say that they were made, in seconds: reproducible-builds.org.

    Raises:
        UsageError: it is no number.

    """
    given = environ.get(EPOCH)
    if given is None:
        return None
    if not given.isdecimal() or int(given) > _LATEST:
        raise UsageError(f"{EPOCH}={given} is no number of seconds since 1970", f"unset {EPOCH}")
    return int(given)


def _sources(plan: Planned, laid: Sequence[Laid], workshop: Workshop) -> tuple[Source, ...]:
    return tuple(
        assembly.source(each, plan.previous, _seen(plan, each.made.descriptor, workshop), workshop)
        for each in laid
    )


def _seen(plan: Planned, blob: Descriptor, workshop: Workshop) -> tuple[str, ...]:
    """Repositories of its registry that are known to have a blob."""
    registry = plan.naming.registry
    return workshop.store.origins.of(registry, blob.digest) if registry else ()
