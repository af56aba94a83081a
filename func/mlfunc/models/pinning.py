"""What a model's address stands for now, as mlfunc.lock keeps it.

A remote model that is pinned is not asked for again. Files here are hashed by who knows which of
them are as they were; remote ones whose place knows no SHA-256 are fetched and hashed, once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError
from mlfunc.lock import ModelFile, ModelPin
from mlfunc.models import image, local, shards
from mlfunc.models.fetching import Meter, Transfer, blob
from mlfunc.models.schemes import FETCHED, scheme
from mlfunc.models.source import Item, wanted
from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from mlfunc.function import Model
    from mlfunc.models.source import Listing, Source


@dataclass(frozen=True)
class Asked:
    """A model of mlfunc.yaml, what was pinned for it before, and who hashes files here."""

    name: str
    model: Model
    folder: Path
    previous: ModelPin | None
    sha256_of: Callable[[Iterable[Path]], Mapping[Path, str]]
    report: Callable[[str], None] = lambda _: None
    cancellation: Cancellation = field(default_factory=Cancellation)

    @property
    def kept(self) -> ModelPin | None:
        """What was pinned, where it was asked for in the same words."""
        pin = self.previous
        same = pin and (pin.uri, pin.patterns) == (self.model.uri, self.model.files)
        return pin if same else None


def pin(asked: Asked, *, upgrade: bool = False) -> ModelPin:
    """The revision and the files that a model's address stands for.

    Raises:
        NotFound: there is no such model, revision or file.
        MlfuncError: its place refuses, or cannot be reached.
        Cancelled: it was broken off.

    """
    kind = scheme(asked.model.uri)
    if kind and asked.kept and not upgrade:
        return asked.kept
    return _PINS[kind](asked)


def _pin_local(asked: Asked) -> ModelPin:
    path = asked.folder / asked.model.uri
    items = wanted(asked.name, local.items(asked.name, path), asked.model.files)
    root = local.root(path)
    hashes = asked.sha256_of(root / item.path for item in items)
    files = [ModelFile(item.path, item.size, hashes[root / item.path]) for item in items]
    return _pinned(asked, None, files, lambda file: root / file)


def _pin_fetched(asked: Asked) -> ModelPin:
    source = FETCHED[scheme(asked.model.uri)](asked.model.uri)
    listing = source.listing()
    if asked.kept and asked.kept.revision == listing.revision:
        return asked.kept
    items = wanted(asked.name, listing.items, asked.model.files)
    fetch = _Hashing(asked, source, listing)
    known = fetch.files([item for item in items if item.sha256 is None])
    files = [
        known.get(item.path) or ModelFile(item.path, item.size, item.sha256 or "") for item in items
    ]
    return _pinned(asked, listing.revision, files, fetch.path)


def _pin_claim(asked: Asked) -> ModelPin:
    return ModelPin(asked.model.uri)


def _pin_image(asked: Asked) -> ModelPin:
    if asked.model.files:
        message = f"model {asked.name}: an image is taken whole, not by `files:`"
        raise UsageError(message, "leave `files:` out")
    return image.pin(asked.model.uri)


_PINS: dict[str, Callable[[Asked], ModelPin]] = {
    "": _pin_local,
    "hf": _pin_fetched,
    "s3": _pin_fetched,
    "oci": _pin_image,
    "pvc": _pin_claim,
}


@dataclass(frozen=True)
class _Hashing:
    """Fetches what must be seen to be pinned."""

    asked: Asked
    source: Source
    listing: Listing

    def files(self, items: Sequence[Item]) -> dict[str, ModelFile]:
        """What these files are."""
        size = sum(item.size for item in items)
        meter = Meter(self.asked.name, size, self.asked.report, self.asked.cancellation)
        uri, revision = self.asked.model.uri, self.listing.revision
        fetched = Transfer(self.source, uri, revision, meter).all(items)
        return {file.path: file for file in fetched}

    def path(self, path: str) -> Path:
        """A file, fetched."""
        items = [item for item in self.listing.items if item.path == path]
        return blob(self.files(items)[path].sha256)


def _pinned(
    asked: Asked, revision: str | None, files: list[ModelFile], read: Callable[[str], Path]
) -> ModelPin:
    partable = [
        path
        for path in shards.may_need_parts(files)
        if _is_of_transformers(read(shards.beside(path, "config.json")))
    ]
    uri, patterns = asked.model.uri, asked.model.files
    return ModelPin(uri, revision, files, patterns=patterns, partable=partable)


def _is_of_transformers(config: Path) -> bool:
    """Whether the loader of this model reads an index of parts."""
    try:
        fields = json.loads(config.read_bytes())
    except ValueError:
        return False
    return isinstance(fields, dict) and "model_type" in fields
