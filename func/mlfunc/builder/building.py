"""`mlfunc build`, from a folder to an image: decided, made, composed, delivered."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc import lock
from mlfunc.builder import assembly, composing, deciding, delivering
from mlfunc.cache import projects
from mlfunc.models import places
from mlfunc.models.obtaining import is_fetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.deciding import Planned, Prepared, Request
    from mlfunc.builder.delivering import Delivered
    from mlfunc.builder.image import Laid


@dataclass(frozen=True)
class Outcome:
    """What a build came to: the function's image, and those of its models by their names."""

    prepared: Prepared
    main: Delivered
    models: Mapping[str, Delivered]
    seconds: float


def build(request: Request, workshop: Workshop) -> Outcome:
    """Build an image.

    Raises:
        MlfuncError: it cannot be built, or not be delivered.
        Cancelled: it was broken off.

    """
    began = time.monotonic()
    composing.epoch()  # if it is wrong, nothing is to be made before that is said
    prepared = deciding.prepare(request, workshop)
    main, models = carry_out(prepared, replace(workshop, to=prepared.to))
    return Outcome(prepared, main, models, time.monotonic() - began)


def carry_out(prepared: Prepared, workshop: Workshop) -> tuple[Delivered, dict[str, Delivered]]:
    """Make what must be made, compose the images, and bring them where they belong."""
    lock.save(prepared.project.folder, prepared.project.lock)
    _note(prepared)
    workshop.watcher.phase("packing layers")
    plans = [*prepared.models.values(), prepared.main]
    laid = iter(assembly.make([step for plan in plans for step in plan.steps], workshop))
    workshop.watcher.phase(prepared.destination.phase)
    to = prepared.destination
    models = {}
    for name, plan in prepared.models.items():
        whole = composing.of_model(prepared, name, _laid(laid, plan), workshop)
        models[name] = delivering.deliver(whole, plan, to, workshop)
    beside = {name: each.reference for name, each in models.items()}
    whole = composing.of_function(prepared, _laid(laid, prepared.main), beside, workshop)
    return delivering.deliver(whole, prepared.main, to, workshop), models


def _note(prepared: Prepared) -> None:
    """What the project uses of the cache from now on."""
    folder, plans = prepared.project.folder, [prepared.main, *prepared.models.values()]
    projects.note(folder, "image", [plan.naming.here for plan in plans])
    pins = prepared.project.lock.models.values()
    projects.note(folder, "model", [places.cached(pin).name for pin in pins if is_fetched(pin)])


def _laid(laid: Iterator[Laid], plan: Planned) -> list[Laid]:
    return list(itertools.islice(laid, len(plan.steps)))
