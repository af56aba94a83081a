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
    """What an image says; nothing where there is none, or another program made it."""
    if image is None:
        return Previous()
    there = {source.descriptor.digest: source for source in image.layers}
    told = told_by(image.config.data)
    return Previous({k: v for k, v in told.items() if v.digest in there}, there)


def told_by(config: bytes) -> dict[str, Record]:
    """The records in an image's configuration."""
    labels = (json.loads(config).get("config") or {}).get("Labels") or {}
    return records.parse(labels.get(records.LABEL, "{}"))
