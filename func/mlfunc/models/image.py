"""Models that are images: oci://host/model@sha256:... Their layers go into a function's unchanged.

No byte of them passes through this machine where the registry can mount them. In such an image the
model lies where its label says, else in /models, as images of models have it for KServe.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc.lock import ModelFile, ModelPin

if TYPE_CHECKING:
    from mlfunc.oci.content import Image, Source
    from mlfunc.oci.reference import Reference

LABEL = "io.mlfunc.model"
_PLACE = "/models"
# Weights are for any platform; an index lists at least this one.
_PLATFORM = "linux/amd64"


def pin(uri: str) -> ModelPin:
    """The image that an address stands for now: its digest, and its layers as files.

    Raises:
        NotFound: there is no such image.
        RegistryFailed: the registry refuses, or cannot be reached.

    """
    image = _load(_parse(uri))
    layers = [source.descriptor for source in image.layers]
    files = [ModelFile(each.digest, each.size, each.digest.partition(":")[2]) for each in layers]
    place = (_config(image).get("config") or {}).get("Labels") or {}
    return ModelPin(uri, image.manifest.descriptor.digest, files, at=place.get(LABEL, _PLACE))


def address(pin: ModelPin) -> str:
    """The image as Kubernetes writes it: by digest."""
    return _parse(pin.uri).pinned(pin.revision or "").name


def layer(pin: ModelPin, number: int, to: Reference | None = None) -> tuple[str, Source]:
    """A layer, as the digest of its content and its blob; `to` is where it will be pushed.

    Raises:
        RegistryFailed: the registry refuses, or cannot be reached.

    """
    image = _load(_parse(pin.uri).pinned(pin.revision or ""), to)
    return _config(image)["rootfs"]["diff_ids"][number], image.layers[number]


def _parse(uri: str) -> Reference:
    from mlfunc.oci import reference

    return reference.parse(uri.removeprefix("oci://"))


def _load(reference: Reference, to: Reference | None = None) -> Image:
    from mlfunc.oci import pull

    return pull.load(reference, _PLATFORM, to=to)


def _config(image: Image) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(image.config.data)
    return config
