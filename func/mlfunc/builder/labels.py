"""What buildpack tools read of an image: `pack inspect`, `pack rebase`, the next lifecycle.

The shapes are those of the lifecycle's platform/files package, as its exporter writes them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc import __version__
from mlfunc.builder import records
from mlfunc.builder.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlfunc.builder.image import Laid
    from mlfunc.packs.layer import Launch, Process

LIFECYCLE = "io.buildpacks.lifecycle.metadata"
BUILD = "io.buildpacks.build.metadata"
PROJECT = "io.buildpacks.project.metadata"
SOURCE = "https://pypi.org/project/mlfunc"


def labels(
    laid: Sequence[Laid],
    launch: Launch,
    packs: Sequence[str],
    below: Mapping[str, str],
    name: str,
) -> dict[str, str]:
    """All labels; `below` has the base image's `image`, `digest` and `top_layer`."""
    return {
        LIFECYCLE: _json(_lifecycle(laid, packs, below)),
        BUILD: _json(_build(launch, packs)),
        PROJECT: _json({}),
        records.LABEL: records.render({each.part.layer.key: _record(each) for each in laid}),
        "io.mlfunc.version": __version__,
        "middleware-version": f"mlfunc-{__version__}",  # for `func describe`
        # Never org.opencontainers.image.revision, a commit: with it, each commit would be a new
        # image and a new start of the model, though no file of the image had changed.
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.base.name": below["image"],
        "org.opencontainers.image.base.digest": below["digest"],
        **launch.labels,
    }


def _record(each: Laid) -> Record:
    layer, blob = each.part.layer, each.made.descriptor
    return Record(
        name=layer.name,
        place=each.part.place,
        diff_id=each.made.diff_id,
        media_type=blob.media_type,
        digest=blob.digest,
        size=blob.size,
        inputs=dict(layer.inputs),
    )


def _lifecycle(
    laid: Sequence[Laid], packs: Sequence[str], below: Mapping[str, str]
) -> dict[str, Any]:
    run = {"topLayer": below["top_layer"], "reference": f"{below['image']}@{below['digest']}"}
    return {
        "app": [{"sha": sha} for sha in _shas(laid, "app")],
        "sbom": _sha(laid, "sbom"),
        "config": _sha(laid, "config"),
        "launcher": _sha(laid, "launcher"),
        "process-types": _sha(laid, "process-types"),
        "buildpacks": [_buildpack(pack, laid) for pack in packs],
        "runImage": {**run, "image": below["image"]},
        # What tools from before 2023 look for.
        "stack": {"runImage": {"image": below["image"]}},
    }


def _shas(laid: Iterable[Laid], folder: str) -> list[str]:
    return [
        each.made.diff_id for each in laid if _is_own(each) and each.part.layer.folder == folder
    ]


def _sha(laid: Iterable[Laid], folder: str) -> dict[str, str]:
    return {"sha": next(iter(_shas(laid, folder)), "")}


def _is_own(each: Laid) -> bool:
    return not each.part.pack


def _buildpack(pack: str, laid: Iterable[Laid]) -> dict[str, Any]:
    """Its layers by name. One that lies in several parts is named without a key, so that no
    lifecycle takes its last part for the whole.
    """
    found: dict[str, list[Laid]] = {}
    for each in laid:
        if each.part.pack == pack:
            found.setdefault(each.part.layer.folder, []).append(each)
    layers = {folder: _layer(parts) for folder, parts in found.items()}
    return {"key": pack, "version": __version__, "layers": layers}


def _layer(parts: Sequence[Laid]) -> dict[str, Any]:
    data = {"key": parts[0].part.layer.key} if len(parts) == 1 else {"parts": len(parts)}
    kinds = {"launch": True, "build": False, "cache": False}
    return {"sha": parts[-1].made.diff_id, "data": data, **kinds}


def _build(launch: Launch, packs: Sequence[str]) -> dict[str, Any]:
    return {
        "buildpacks": [{"id": pack, "version": __version__, "homepage": SOURCE} for pack in packs],
        "launcher": {"version": __version__, "source": {"git": {"repository": "", "commit": ""}}},
        "processes": [process(each) for each in launch.processes],
    }


def process(each: Process) -> dict[str, Any]:
    """A process as the label and the image's metadata.toml have it."""
    return {
        "type": each.type,
        "command": list(each.command),
        "args": [],
        "direct": True,
        "buildpackID": "mlfunc/app",
    }


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
