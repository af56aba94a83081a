"""Volumes of a revision and where they are mounted: ours, those of models, and the user's.

A claim is one volume however often it is mounted: the kubelet waits for ever where a pod has one
claim under two names.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.knative import syntax

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.function import EmptyDir, Function, Volume
    from mlfunc.knative.release import Model, Release

Object = dict[str, Any]

_TMP = "/tmp"  # noqa: S108 - in the container
_SHM = "/dev/shm"  # noqa: S108
_LONGEST_NAME = 63
# NCCL and RCCL exchange data between devices by shared memory, of which a container has 64 MB.
_SHARE_MEMORY = ("nvidia", "amd")
# Knative's own, those that the kernel is seen through, and where an image of ours has its parts.
_TAKEN = ("/", "/dev", "/dev/log", "/proc", "/sys", "/workspace", "/layers", "/cnb")


@dataclass(frozen=True)
class _Mounted:
    """A volume at its path."""

    name: str
    source: Object
    path: str
    read_only: bool = False


def of(release: Release) -> list[Object]:
    """For the spec of a revision."""
    found: dict[str, list[_Mounted]] = {}
    for each in _all(release):
        found.setdefault(each.name, []).append(each)
    return [{"name": name, **_source(mounted)} for name, mounted in found.items()]


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


def problems(function: Function) -> Iterator[str]:
    """What is wrong with `volumes`."""
    taken = dict.fromkeys(_TAKEN, "an image or the kernel")
    taken |= {f"/volumes/{name}": f"the model {name}" for name in function.models}
    for number, volume in enumerate(function.volumes):
        at, path, what = f"volumes[{number}]", _path(volume), _kind_and_name(volume)[1]
        if path in taken:
            yield f"{at}.path: {path} is the place of {taken[path]}: mount it at another"
        if ":" in path:
            yield f"{at}.path: nothing can be mounted at a path with a colon"
        if volume.empty_dir is None and not syntax.is_name(what):
            yield f"{at}: nothing in Kubernetes can be called {what}"
        taken.setdefault(path, at)


def _all(release: Release) -> Iterator[_Mounted]:
    """What the user mounts at a path of ours, or above it, is there instead of ours."""
    theirs = [_of_user(each) for each in release.function.volumes]
    for each in _ours(release):
        if not any(_is_within(each.path, other.path) for other in theirs):
            yield each
    yield from theirs


def _ours(release: Release) -> Iterator[_Mounted]:
    # The root is read-only.
    yield _Mounted("tmp", {"emptyDir": {}}, _TMP)
    if release.function.accelerator_type in _SHARE_MEMORY:
        yield _Mounted("shm", {"emptyDir": {"medium": "Memory"}}, _SHM)
    for model in release.models:
        yield from _of_model(model)


def _of_model(model: Model) -> Iterator[_Mounted]:
    name = _name("model", model.name)
    match model.delivery:
        case "volume":
            source = {"image": {"reference": model.image, "pullPolicy": "IfNotPresent"}}
            yield _Mounted(name, source, model.mount, read_only=True)
        case "pvc":
            claim = model.uri.removeprefix("pvc://").partition("/")[0]
            yield _claim(claim, model.mount, read_only=True)
        case "stream":
            yield _Mounted(name, {"emptyDir": {}}, f"{_TMP}/models/{model.name}")
        case "baked":
            pass


def _of_user(volume: Volume) -> _Mounted:
    path, (kind, what) = _path(volume), _kind_and_name(volume)
    name = _name(kind, what)
    if volume.empty_dir is not None:
        return _Mounted(name, {"emptyDir": _empty(volume.empty_dir)}, path)
    if volume.secret:
        return _Mounted(name, {"secret": {"secretName": what}}, path, read_only=True)
    if volume.config_map:
        return _Mounted(name, {"configMap": {"name": what}}, path, read_only=True)
    claim = volume.persistent_volume_claim
    return _claim(what, path, read_only=claim is not None and claim.read_only)


def _kind_and_name(volume: Volume) -> tuple[str, str]:
    """What a volume is, and what tells it from others of its kind."""
    if volume.empty_dir is not None:
        return "empty", _path(volume).strip("/")
    if volume.secret:
        return "secret", volume.secret
    if volume.config_map:
        return "config", volume.config_map
    claim = volume.persistent_volume_claim
    assert claim is not None  # noqa: S101 - mlfunc.yaml names one of the four
    return "claim", claim.claim_name


def _claim(name: str, path: str, *, read_only: bool) -> _Mounted:
    source = {"persistentVolumeClaim": {"claimName": name}}
    return _Mounted(_name("claim", name), source, path, read_only=read_only)


def _source(mounted: Sequence[_Mounted]) -> Object:
    """Of a volume, which is one of reading only where each of its mounts is."""
    source = mounted[0].source
    if claim := source.get("persistentVolumeClaim"):
        read_only = all(each.read_only for each in mounted)
        return {"persistentVolumeClaim": {**claim, **({"readOnly": True} if read_only else {})}}
    return source


def _empty(source: EmptyDir) -> Object:
    found: Object = {"medium": source.medium} if source.medium else {}
    return {**found, **({"sizeLimit": str(source.size_limit)} if source.size_limit else {})}


def _name(kind: str, what: str) -> str:
    """A label of DNS, the same for the same; a digest stands for what it cannot say."""
    slug = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")
    plain = f"{kind}-{slug}"
    if slug == what and len(plain) <= _LONGEST_NAME:
        return plain
    digest = hashlib.sha256(what.encode()).hexdigest()[:8]
    return f"{plain[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"


def _path(volume: Volume) -> str:
    """As Kubernetes compares it."""
    return "/" + posixpath.normpath(volume.path).lstrip("/")


def _is_within(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")
