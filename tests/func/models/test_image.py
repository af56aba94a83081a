"""Models that are images, in a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import function
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.lock import Lock, ModelPin
from mlfunc.models import image
from mlfunc.oci import content, push, reference
from mlfunc.oci.content import Bytes, Image, Source
from mlfunc.packs import model as pack
from mlfunc.project import Project, Target

from tests.rig.registry import Registry, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Pinned = Callable[..., ModelPin]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def pushed(there: Registry, labels: dict[str, str]) -> tuple[str, Bytes]:
    """An image with one layer: its address, and the layer."""
    layer = Bytes(json.dumps(labels).encode(), content.LAYER)
    settings: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": labels},
    }
    settings["rootfs"] = {"type": "layers", "diff_ids": [layer.descriptor.digest]}
    config = Bytes(json.dumps(settings).encode(), content.CONFIG)
    parts = {"config": config.descriptor.as_json(), "layers": [layer.descriptor.as_json()]}
    top = {"schemaVersion": 2, "mediaType": content.MANIFEST, **parts}
    manifest = Bytes(json.dumps(top).encode(), content.MANIFEST)
    made = Image(manifest, config, (Source(layer.descriptor, lambda: layer),))
    push.push(made, reference.parse(f"{there.address}/models/tiny:v1"))
    return f"oci://{there.address}/models/tiny:v1", layer


def test_an_image_is_pinned_by_digest_and_its_layers_are_taken(
    there: Registry, pinned: Pinned, tmp_path: Path
) -> None:
    uri, layer = pushed(there, {image.LABEL: "/weights"})
    pin = pinned(uri)
    parsed = function.parse(f"name: x\nmodels: {{default: '{uri}'}}".encode())
    target = Target("linux/amd64", "3.11", "cpu")
    project = Project(tmp_path, parsed, Lock(models={"default": pin}), target, "/python")

    (planned,) = pack.layers(project)

    assert planned.taken is not None
    diff_id, source = planned.taken(reference.parse(f"{there.address}/team/x:v1"))
    assert diff_id == layer.descriptor.digest
    assert source.origins == ("models/tiny",)
    assert b"".join(source.open().read()) == layer.data
    assert pack.launch(project).env == {"MLFUNC_MODEL_DEFAULT": "/weights"}
    told = json.loads(pack.label(project, {}))[0]
    assert told["image"] == f"{there.address}/models/tiny@{pin.revision}"


def test_an_image_of_others_has_its_model_in_models(there: Registry, pinned: Pinned) -> None:
    uri, _ = pushed(there, {})

    assert pinned(uri).at == "/models"


def test_an_image_is_not_taken_by_its_files(pinned: Pinned) -> None:
    with pytest.raises(UsageError, match="taken whole"):
        pinned("oci://127.0.0.1:1/models/tiny", files=["*.bin"])


def test_an_image_that_is_not_there_is_told_by_its_name(there: Registry, pinned: Pinned) -> None:
    with pytest.raises(MlfuncError, match="models/none"):
        pinned(f"oci://{there.address}/models/none:v1")
