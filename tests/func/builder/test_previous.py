"""What the image before says of its layers counts where its manifest says the same."""

from __future__ import annotations

import json

import pytest
from mlfunc.builder import previous, records
from mlfunc.builder.records import Record
from mlfunc.oci.content import CONFIG, LAYER_ZSTD, MANIFEST, Bytes, Image, digest

BLOB = Bytes(b"a layer", LAYER_ZSTD)
DIFF_ID = digest(b"what is in it")


def image(**wrong: object) -> Image:
    told = {"size": 7, "diff_id": DIFF_ID, "media_type": LAYER_ZSTD, **wrong}
    record = Record(name="app", place="/workspace", digest=BLOB.descriptor.digest, **told)  # type: ignore[arg-type]
    config = {
        "config": {"Labels": {records.LABEL: records.render({"key": record})}},
        "rootfs": {"diff_ids": [DIFF_ID]},
    }
    return Image(
        Bytes(b"{}", MANIFEST), Bytes(json.dumps(config).encode(), CONFIG), (BLOB.as_source(),)
    )


def test_layers_are_known_by_their_keys() -> None:
    assert list(previous.read(image()).records) == ["key"]


@pytest.mark.parametrize(
    "wrong", [{"size": 8}, {"diff_id": digest(b"other")}, {"media_type": "other"}]
)
def test_a_label_that_differs_from_the_manifest_is_not_believed(wrong: dict[str, object]) -> None:
    assert not previous.read(image(**wrong)).records
