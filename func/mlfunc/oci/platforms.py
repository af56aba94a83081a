"""Images for several platforms: which of them is meant, and what is in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlfunc.errors import NotFound
from mlfunc.oci import content
from mlfunc.oci.content import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = {content.INDEX, DOCKER_INDEX}
_AS_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar": content.LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": content.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": content.LAYER_ZSTD,
    "application/vnd.docker.container.image.v1+json": content.CONFIG,
}


def descriptor(entry: dict[str, Any]) -> Descriptor:
    """One of a manifest. Docker's types become those of OCI: the bytes are the same."""
    kind: str = entry["mediaType"]
    return Descriptor(
        _AS_OCI.get(kind, kind), entry["digest"], entry["size"], entry.get("annotations") or {}
    )


def manifest_for(
    top: content.Bytes, platform: str, name: str, fetch: Callable[[Descriptor], content.Bytes]
) -> content.Bytes:
    """The manifest for a platform (linux/arm64): `top` itself, or one that it lists.

    Raises:
        NotFound: there is none for it; those that are there are named.

    """
    for _ in range(3):  # an index may list an index, as docker save has it
        if top.media_type not in INDEXES:
            return top
        top = fetch(choose(json.loads(top.data)["manifests"], platform, name))
    raise NotFound(f"{name} is lists of lists of lists: no image for {platform} in it")


def choose(entries: list[dict[str, Any]], platform: str, name: str) -> Descriptor:
    """The entry of an index for a platform; one that says none, if it is the only one.

    Raises:
        NotFound: there is none.

    """
    images = [e for e in entries if _platform(e) != "unknown/unknown"]  # else: attestations
    for entry in images:
        if _matches(_platform(entry), platform):
            return descriptor(entry)
    if len(images) == 1 and not _platform(images[0]):
        return descriptor(images[0])
    raise missing(name, platform, [_platform(entry) or "of no platform" for entry in images])


def check(config: bytes, platform: str, name: str) -> None:
    """See that a config is for a platform.

    Raises:
        NotFound: it is for another, or of something that is no image.

    """
    found = _table(config)
    if found is None:
        raise missing(name, platform, ["something else"])
    has = f"{found.get('os', '')}/{found.get('architecture', '')}"
    if not _matches(has, platform):
        raise missing(name, platform, [has])


def parts(manifest: content.Bytes, name: str) -> dict[str, Any]:
    """What a manifest says.

    Raises:
        NotFound: it is of no image as OCI and Docker have made them since 2016.

    """
    try:
        found = json.loads(manifest.data)
        _ = [found["config"]["digest"], *(layer["digest"] for layer in found["layers"])]
    except (ValueError, LookupError, TypeError) as error:
        message = f"{name} is no image of OCI or Docker: its manifest is {manifest.media_type!r}"
        raise NotFound(message, "name another image") from error
    return dict(found)


def _table(config: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(config)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def missing(name: str, platform: str, there: list[str]) -> NotFound:
    """No image for this platform."""
    found = ", ".join(dict.fromkeys(there)) or "nothing"
    message = f"{name} has no image for {platform}; it has {found}"
    return NotFound(message, "name another image, or another platform")


def _platform(entry: dict[str, Any]) -> str:
    found = entry.get("platform") or {}
    parts = (found.get("os"), found.get("architecture"), found.get("variant"))
    return "/".join(part for part in parts if part)


def _matches(has: str, wanted: str) -> bool:
    """linux/arm64/v8 serves who wants linux/arm64, and the other way round."""
    return has.split("/")[:2] == wanted.split("/")[:2] and (
        has.count("/") < 2 or wanted.count("/") < 2 or has == wanted
    )
