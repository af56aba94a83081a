"""Volumes of a revision and where they are mounted: the user's, and those of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.function import EmptyDir, Volume
    from mlfunc.knative.release import Model, Release

Object = dict[str, Any]


@dataclass(frozen=True)
class _Mounted:
    """A volume at its path."""

    name: str
    source: Object
    path: str
    read_only: bool = False


def of(release: Release) -> list[Object]:
    """For the spec of a revision."""
    return [{"name": each.name, **each.source} for each in _all(release)]


def mounts(release: Release) -> list[Object]:
    """For its container."""
    return [
        {
            "name": each.name,
            "mountPath": each.path,
            **({"readOnly": True} if each.read_only else {}),
        }
        for each in _all(release)
    ]


def _all(release: Release) -> Iterator[_Mounted]:
    # The root is read-only.
    yield _Mounted("tmp", {"emptyDir": {}}, "/tmp")  # noqa: S108 - in the container
    if release.function.accelerator_type == "nvidia":
        # NCCL and loaders of data share memory; a container has 64 MB of it.
        yield _Mounted("shm", {"emptyDir": {"medium": "Memory"}}, "/dev/shm")  # noqa: S108
    for model in release.models:
        yield from _of_model(model)
    for number, volume in enumerate(release.function.volumes, 1):
        yield _of_user(f"volume-{number}", volume)


def _of_model(model: Model) -> Iterator[_Mounted]:
    name = f"model-{model.name.lower().replace('_', '-')}"
    if model.delivery == "volume":
        source = {"image": {"reference": model.image, "pullPolicy": "IfNotPresent"}}
        yield _Mounted(name, source, model.mount, read_only=True)
    elif model.delivery == "pvc":
        claim = model.uri.removeprefix("pvc://").partition("/")[0]
        yield _Mounted(name, _claim(claim, read_only=True), model.mount, read_only=True)


def _of_user(name: str, volume: Volume) -> _Mounted:
    if volume.empty_dir is not None:
        return _Mounted(name, {"emptyDir": _empty(volume.empty_dir)}, volume.path)
    if volume.secret:
        return _Mounted(
            name, {"secret": {"secretName": volume.secret}}, volume.path, read_only=True
        )
    if volume.config_map:
        return _Mounted(
            name, {"configMap": {"name": volume.config_map}}, volume.path, read_only=True
        )
    claim = volume.persistent_volume_claim
    assert claim is not None  # noqa: S101 - mlfunc.yaml names one of the four
    source = _claim(claim.claim_name, read_only=claim.read_only)
    return _Mounted(name, source, volume.path, read_only=claim.read_only)


def _claim(name: str, *, read_only: bool) -> Object:
    return {"persistentVolumeClaim": {"claimName": name, "readOnly": read_only}}


def _empty(source: EmptyDir) -> Object:
    found: Object = {"medium": source.medium} if source.medium else {}
    return {**found, **({"sizeLimit": str(source.size_limit)} if source.size_limit else {})}
