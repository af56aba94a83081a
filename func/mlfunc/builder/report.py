"""What a build will do, or did, as plain data: the rows of its table, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.builder.building import Outcome
    from mlfunc.builder.deciding import Planned, Prepared
    from mlfunc.builder.delivering import Delivered
    from mlfunc.builder.planning import Step
    from mlfunc.oci.content import Source


@dataclass(frozen=True)
class Row:
    """A layer: `size` of its blob in bytes; without a digest, about what it will be, if known."""

    name: str
    digest: str | None
    size: int | None
    status: str
    why: str


def planned(prepared: Prepared) -> list[Row]:
    """What would become of each layer: bottom first, images of models before the function's."""
    models = (_expected(step) for plan in prepared.models.values() for step in plan.steps)
    below = _below(prepared, prepared.base.image.layers, None)
    return [*models, *below, *map(_expected, prepared.main.steps)]


def done(outcome: Outcome) -> list[Row]:
    """What became of each layer, in the same order."""
    prepared, main = outcome.prepared, outcome.main
    models = (
        row
        for name, plan in prepared.models.items()
        for row in _became(plan, outcome.models[name], outcome.models[name].image.layers)
    )
    count = len(prepared.base.image.layers)
    layers = main.image.layers
    below = _below(prepared, layers[:count], main)
    return [*models, *below, *_became(prepared.main, main, layers[count:])]


def total(rows: Sequence[Row]) -> int:
    """Of the layers whose size is known, in bytes."""
    return sum(row.size or 0 for row in rows)


def unknown(rows: Sequence[Row]) -> list[str]:
    """The layers whose size will be known when they are made."""
    return [row.name for row in rows if row.size is None]


def plan_as_data(prepared: Prepared) -> dict[str, Any]:
    """For `--plan -o json`."""
    naming, rows = prepared.main.naming, planned(prepared)
    return {
        "image": naming.here,
        "platform": prepared.project.target.platform,
        "size": total(rows),
        "to_build": total([row for row in rows if row.status == "built"]),
        "layers": [asdict(row) for row in rows],
        "notes": list(prepared.notes),
    }


def as_data(outcome: Outcome) -> dict[str, Any]:
    """For `-o json`."""
    models = {name: each.reference for name, each in outcome.models.items()}
    all_images = (outcome.main, *outcome.models.values())
    output = outcome.prepared.destination.output
    return {
        "image": outcome.main.reference,
        "digest": outcome.main.digest,
        "platform": outcome.prepared.project.target.platform,
        "pushed": outcome.prepared.destination.pushes,
        **({"output": str(output)} if output else {}),
        **({"models": models} if models else {}),
        "seconds": round(outcome.seconds, 3),
        "uploaded_bytes": sum(each.uploaded_bytes for each in all_images),
        "layers": [asdict(row) for row in done(outcome)],
    }


def _below(
    prepared: Prepared, layers: Sequence[Source], delivered: Delivered | None
) -> Iterator[Row]:
    for number, each in enumerate(layers, 1):
        blob = each.descriptor
        status = delivered.statuses.get(blob.digest, "reused") if delivered else "reused"
        name = f"base {number}/{len(layers)}" if len(layers) > 1 else "base"
        yield Row(name, blob.digest, blob.size, status, prepared.base.name)


def _expected(step: Step) -> Row:
    layer = step.part.layer
    if step.made is None:
        about = layer.size if layer.wheels is None else layer.wheels
        return Row(layer.name, None, about, "built", step.why)
    blob = step.made.descriptor
    return Row(layer.name, blob.digest, blob.size, "reused", step.why)


def _became(plan: Planned, delivered: Delivered, layers: Sequence[Source]) -> Iterator[Row]:
    for step, each in zip(plan.steps, layers, strict=True):
        blob = each.descriptor
        expected = "built" if step.made is None else "reused"
        status = delivered.statuses.get(blob.digest, expected)
        yield Row(step.part.layer.name, blob.digest, blob.size, status, step.why)
