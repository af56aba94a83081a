"""The image that has the name now: its layers need not be made again.

One request for its manifest, one for its configuration.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlfunc.builder import records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.builder.records import Record
    from mlfunc.oci.content import Image, Source


@dataclass(frozen=True)
class Previous:
    """What an image says of its layers, and where the bytes of each are."""

    records: Mapping[str, Record] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)  # by digest


def read(image: Image | None) -> Previous:
    """What an image says and its manifest confirms; nothing where another program made it."""
    if image is None:
        return Previous()
    there = {source.descriptor.digest: source for source in image.layers}
    layers = list(zip(_diff_ids(image), (each.descriptor for each in image.layers), strict=False))
    told = told_by(image.config.data)
    fit = {k: v for k, v in told.items() if (v.diff_id, v.descriptor) in layers}
    return Previous(fit, there)


def _diff_ids(image: Image) -> list[str]:
    found: list[str] = (json.loads(image.config.data).get("rootfs") or {}).get("diff_ids") or []
    return found


def told_by(config: bytes) -> dict[str, Record]:
    """The records in an image's configuration."""
    labels = (json.loads(config).get("config") or {}).get("Labels") or {}
    return records.parse(labels.get(records.LABEL, "{}"))
