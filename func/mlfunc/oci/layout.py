"""Images in folders and archives: OCI image layout specification.

A folder can be written to again: blobs that are there stay, the tag moves. An archive is whole or
not there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError, NotFound, UsageError
from mlfunc.oci import archive, content, platforms, unfinished
from mlfunc.oci.content import Bytes, Descriptor, Image, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.oci.reference import Reference

    Progress = Callable[[str, int, int], None]

_MARK = "oci-layout"
_INDEX = "index.json"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_TAG = "org.opencontainers.image.ref.name"
_NAME = "io.containerd.image.name"  # containerd's import reads the whole name here
_PIECE = 1 << 20
_PREFIXES = ("oci:", "oci-archive:")


@dataclass(frozen=True)
class Place:
    """A layout by path, and the image in it: None where it has just one."""

    path: Path
    tag: str | None = None

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"oci:{self.path}" + (f":{self.tag}" if self.tag else "")


def parse(text: str) -> Place | None:
    """Read `oci:PATH` or `oci:PATH:TAG`; None: it names an image in a registry."""
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), None)
    if prefix is None:
        return None
    rest = text.removeprefix(prefix)
    path, colon, tag = rest.rpartition(":")
    return Place(Path(path), tag) if colon and "/" not in tag else Place(Path(rest))


def is_archive(path: Path) -> bool:
    """Whether a layout of this name is an archive, which holds one image, else a folder."""
    return path.suffix == ".tar"


def is_at(path: Path) -> bool:
    """Whether a path looks like a layout."""
    return (is_archive(path) and path.is_file()) or (path / _MARK).is_file()


def write(
    image: Image,
    path: Path,
    name: Reference,
    report: Progress = lambda _digest, _done, _size: None,
) -> None:
    """Write an image as a layout: an archive where `path` ends in .tar, else a folder.

    Raises:
        UsageError: there is something else at `path`.
        MlfuncError: it cannot be written: the disk is full, say.

    """
    put = _write_archive if is_archive(path) else _write_folder
    try:
        put(image, path, name, report)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise MlfuncError(message, "make room there, or name another path") from error


def read(place: Place, platform: str) -> Image:
    """An image of a folder or an archive; its layers are read where they lie.

    Raises:
        NotFound: there is no such image, or none for the platform.
        UsageError: it is no layout.

    """
    if not place.path.exists():
        raise NotFound(f"there is no {place.path}, where {place} should be", "correct the path")
    find = archive.find(place.path) if place.path.is_file() else _in_folder(place.path)
    here = _Layout(place, find)
    top = here.load(platforms.choose(here.entries(), platform, str(place)))
    manifest = platforms.manifest_for(top, platform, str(place), here.load)
    parts = json.loads(manifest.data)
    config = here.load(platforms.descriptor(parts["config"]))
    platforms.check(config.data, platform, str(place))
    layers = [here.source(platforms.descriptor(entry)) for entry in parts["layers"]]
    return Image(manifest, config, tuple(layers))


def _write_folder(image: Image, path: Path, name: Reference, report: Progress) -> None:
    blobs = path / "blobs/sha256"
    if path.exists() and not _may_hold(path):
        raise UsageError(f"{path} exists and is no OCI layout", "name another path")
    blobs.mkdir(parents=True, exist_ok=True)
    with unfinished.locked(path):
        _replace(path / _MARK, _VERSION)
    for source in _all(image):
        target = blobs / source.descriptor.digest.removeprefix("sha256:")
        if not target.is_file():
            _write_blob(target, source, report)
    with unfinished.locked(path):  # two that tag at once: neither loses the other's
        _replace(path / _INDEX, _json(_index(image, name, _listed(path / _INDEX))))


def _may_hold(path: Path) -> bool:
    """A layout, one that was broken off, or an empty folder."""
    return path.is_dir() and ((path / _MARK).is_file() or not any(path.iterdir()))


def _write_blob(target: Path, source: Source, report: Progress) -> None:
    with unfinished.file(target, "*") as file:
        for piece in _checked(source, report):
            file.write(piece)


def _replace(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all; its folder is locked."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def _listed(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_bytes())["manifests"] if path.is_file() else []


def _index(image: Image, name: Reference, before: list[dict[str, Any]]) -> dict[str, Any]:
    """index.json with the image under its tag; what had the tag goes."""
    tag = name.tag or "latest"
    kept = [entry for entry in before if (entry.get("annotations") or {}).get(_TAG) != tag]
    config = json.loads(image.config.data)
    entry = image.manifest.descriptor.as_json()
    entry["platform"] = {key: config[key] for key in ("architecture", "os") if key in config}
    entry["annotations"] = {_TAG: tag, _NAME: f"{name.registry}/{name.repository}:{tag}"}
    return {"schemaVersion": 2, "mediaType": content.INDEX, "manifests": [*kept, entry]}


def _write_archive(image: Image, path: Path, name: Reference, report: Progress) -> None:
    def members() -> Iterator[archive.Member]:
        yield _small(_MARK, _VERSION)
        for source in _all(image):
            pieces = _checked(source, report)
            yield archive.Member(_blob_path(source), source.descriptor.size, pieces)
        yield _small("manifest.json", _json(_for_docker(image, name)))
        yield _small(_INDEX, _json(_index(image, name, [])))

    archive.write(path, members())


def _small(name: str, data: bytes) -> archive.Member:
    return archive.Member(name, len(data), iter((data,)))


def _for_docker(image: Image, name: Reference) -> list[dict[str, Any]]:
    """What `docker load` of a Docker before 25 reads."""
    tag = f"{name.registry}/{name.repository}:{name.tag or 'latest'}"
    config = "blobs/" + image.config.descriptor.digest.replace(":", "/")
    layers = [_blob_path(source) for source in image.layers]
    return [{"Config": config, "RepoTags": [tag], "Layers": layers}]


def _all(image: Image) -> list[Source]:
    """Every blob once: layers, config, manifest."""
    own = [blob.as_source() for blob in (image.config, image.manifest)]
    return list({s.descriptor.digest: s for s in (*image.layers, *own)}.values())


def _blob_path(source: Source) -> str:
    return "blobs/" + source.descriptor.digest.replace(":", "/")


def _checked(source: Source, report: Progress) -> Iterator[bytes]:
    """A blob's bytes, which have to be what its digest says."""
    found, done, wanted = hashlib.sha256(), 0, source.descriptor
    for piece in source.open().read():
        found.update(piece)
        done += len(piece)
        yield piece
        report(wanted.digest, done, wanted.size)
    if f"sha256:{found.hexdigest()}" != wanted.digest:
        raise MlfuncError(f"the blob {wanted.digest} has changed since it was made", "build again")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class _Part:
    """A blob inside a file."""

    path: Path
    offset: int
    size: int
    descriptor: Descriptor

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on."""
        left = self.size - offset
        with self.path.open("rb") as file:
            file.seek(self.offset + offset)
            while left > 0 and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece


@dataclass(frozen=True)
class _Layout:
    """A layout that is read: `find` says where the file of a name lies."""

    place: Place
    find: Callable[[str], tuple[Path, int, int] | None]

    def entries(self) -> list[dict[str, Any]]:
        """What index.json lists under the tag."""
        index = self._part(_INDEX, Descriptor(content.INDEX, "", 0))
        listed: list[dict[str, Any]] = json.loads(b"".join(index.read()))["manifests"]
        tags = [(entry.get("annotations") or {}).get(_TAG, "") for entry in listed]
        # Of several, the one that a name without a tag means in a registry.
        tag = self.place.tag or ("latest" if len({*tags}) > 1 else None)
        found = [e for e, has in zip(listed, tags, strict=True) if tag in {None, has}]
        if not found:
            hint = f"it has {', '.join(filter(None, tags)) or 'none'}"
            raise NotFound(f"there is no image {self.place} with the tag {tag}", hint)
        return found

    def source(self, wanted: Descriptor) -> Source:
        """A layer, looked for when it is read."""
        return Source(wanted, lambda: self._blob(wanted))

    def load(self, wanted: Descriptor) -> Bytes:
        """A manifest or a config, whole."""
        data = b"".join(self._blob(wanted).read())
        if content.digest(data) != wanted.digest:
            raise UsageError(f"{self.place.path} is broken: {wanted.digest} has other bytes")
        return Bytes(data, wanted.media_type)

    def _blob(self, wanted: Descriptor) -> _Part:
        return self._part("blobs/" + wanted.digest.replace(":", "/"), wanted)

    def _part(self, name: str, wanted: Descriptor) -> _Part:
        found = self.find(name)
        if found is None:
            message = f"{self.place.path} is no OCI layout, or not whole: it lacks {name}"
            raise UsageError(
                message, "name what `mlfunc build --output` has written, or write it again"
            )
        return _Part(*found, wanted)


def _in_folder(path: Path) -> Callable[[str], tuple[Path, int, int] | None]:
    def find(name: str) -> tuple[Path, int, int] | None:
        file = path / name
        return (file, 0, file.stat().st_size) if file.is_file() else None

    return find
