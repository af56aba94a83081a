"""An image as a release: what deploy has to know of it stands in its labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc.knative.release import Model, Release
from mlfunc.packs import model as pack

if TYPE_CHECKING:
    from mlfunc.function import Function
    from mlfunc.oci.content import Image


def release(function: Function, namespace: str, reference: str, image: Image) -> Release:
    """What brings an image, NAME@sha256, to a namespace."""
    labels = json.loads(image.config.data).get("config", {}).get("Labels") or {}
    return Release(
        function=function,
        namespace=namespace,
        image=reference,
        size=sum(layer.descriptor.size for layer in image.layers),
        models=tuple(_model(each) for each in json.loads(labels.get(pack.LABEL, "[]"))),
    )


def _model(told: dict[str, Any]) -> Model:
    return Model(
        name=told["name"],
        uri=told["uri"],
        delivery=told["delivery"],
        size=told["size"],
        image=told.get("image"),
    )
