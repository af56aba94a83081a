"""The model buildpack: the weights in layers, and where the function finds them.

A layer's key comes from mlfunc.lock alone: what is there already is not opened, fetched or hashed.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mlfunc.errors import UsageError
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Range, Tree
from mlfunc.models import delivery, fetching, image, places, safetensors, shards, stream
from mlfunc.models.schemes import scheme
from mlfunc.models.shards import Piece, Whole
from mlfunc.packs.layer import Detection, Launch, Layer, place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from mlfunc.function import Model
    from mlfunc.lock import ModelFile, ModelPin
    from mlfunc.models.shards import Shard
    from mlfunc.packs.layer import Making
    from mlfunc.project import Project

ID: Literal["mlfunc/model"] = "mlfunc/model"
LABEL = "io.mlfunc.models"
# A change of how layers of models are made gives them new keys.
_VERSION = 1
_STREAM = "stream.json"
_STREAMED = "/tmp/models"  # noqa: S108 - in the container, where nothing else may be written


@dataclass(frozen=True)
class Weights:
    """A model of the project, pinned, and how it is delivered."""

    name: str
    model: Model
    pin: ModelPin
    choice: delivery.Choice
    project: Path

    @property
    def folder(self) -> str:
        """Where it lies in the image that its layers are in."""
        return self.pin.at or place(ID, self.name)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What its layers hold."""
        return shards.plan(self.pin.files, self.pin.partable)


@dataclass(frozen=True)
class ModelImage:
    """An image of a model's own, for one that is mounted as a volume: it has these layers only."""

    name: str
    layers: tuple[Layer, ...]
    labels: Mapping[str, str]


def detect(project: Project) -> Detection | None:
    """It takes part where the function has models."""
    if not project.function.models:
        return None
    return Detection(provides=("model",), requires=("model",))


def layers(project: Project) -> tuple[Layer, ...]:
    """The layers of baked models, and the lists of streamed ones."""
    return tuple(layer for each in weights(project) for layer in _layers(each))


def launch(project: Project) -> Launch:
    """Where each model is."""
    env = {key: value for each in weights(project) for key, value in _env(each).items()}
    return Launch(env=env, labels={LABEL: label(project, {})} if env else {})


def images(project: Project) -> tuple[ModelImage, ...]:
    """The images of those that are mounted."""
    mounted = (each for each in weights(project) if each.choice.way == "volume" and not each.pin.at)
    return tuple(
        ModelImage(each.name, tuple(_shards(each)), {image.LABEL: each.folder}) for each in mounted
    )


def label(project: Project, images: Mapping[str, str]) -> str:
    """What deploy has to know, as JSON; `images` are those of the mounted models, by name."""
    own = {each.name: image.address(each.pin) for each in weights(project) if each.pin.at}
    told = [_described(each, {**images, **own}.get(each.name)) for each in weights(project)]
    return json.dumps(told, separators=(",", ":"))


def notes(project: Project) -> tuple[str, ...]:
    """What the user should know before so much is pushed."""
    ours = (each for each in weights(project) if not each.pin.at)
    baked = (each for each in ours if each.choice.way in {"baked", "volume"})
    return tuple(note for each in baked for note in shards.notes(each.name, each.shards))


def weights(project: Project) -> tuple[Weights, ...]:
    """The models, in order of their names, so that their layers keep theirs.

    Raises:
        UsageError: one cannot be delivered as it should.

    """
    return tuple(
        Weights(name, model, pin, delivery.choose(name, model, pin.size), project.folder)
        for name, model in sorted(project.function.all_models.items())
        for pin in (project.lock.models[name],)
    )


def _described(each: Weights, image: str | None) -> dict[str, Any]:
    told = {
        "name": each.name,
        "uri": each.pin.uri,
        "revision": each.pin.revision,
        "delivery": each.choice.way,
        "size": each.pin.size,
    }
    return {**told, "image": image} if image else told


def _env(each: Weights) -> dict[str, str]:
    found = places.variable(each.name)
    match each.choice.way:
        case "baked":
            return {found: places.within(each.folder, each.pin)}
        case "volume":
            return {found: places.within(f"/volumes/{each.name}{each.folder}", each.pin)}
        case "pvc":
            path = each.pin.uri.removeprefix("pvc://").partition("/")[2]
            return {found: f"/volumes/{each.name}/{path}".rstrip("/")}
        case "stream":
            listed = {places.stream_variable(each.name): f"{each.folder}/{_STREAM}"}
            return {found: places.within(f"{_STREAMED}/{each.name}", each.pin), **listed}


def _layers(each: Weights) -> Iterator[Layer]:
    if each.choice.way == "baked":
        yield from _taken(each) if each.pin.at else _shards(each)
    if each.choice.way == "stream":
        yield _stream(each)


def _shards(each: Weights) -> Iterator[Layer]:
    count = len(each.shards)
    for number, shard in enumerate(each.shards, 1):
        of = f" {number}/{count}" if count > 1 else ""
        yield Layer(
            name=f"model {each.name}{of}",
            folder=each.name,
            key=_key(each.folder, _identity(shard)),
            make=functools.partial(_make, each, shard),
            size=shard.size,
            raw=True,
        )


def _taken(each: Weights) -> Iterator[Layer]:
    """The layers of a model's image, as they are."""
    count = len(each.pin.files)
    for number, file in enumerate(each.pin.files):
        yield Layer(
            name=f"model {each.name} {number + 1}/{count}",
            folder=each.name,
            key=_key("oci", file.sha256),
            make=functools.partial(_refuse, each),
            taken=functools.partial(image.layer, each.pin, number),
            size=file.size,
            raw=True,
        )


def _refuse(each: Weights, _: Making) -> Tree:
    message = f"model {each.name}: layers of {each.pin.uri} cannot be taken by this builder"
    raise UsageError(message, "use `mlfunc build`, or `delivery: volume`")


def _stream(each: Weights) -> Layer:
    """The list of what the function fetches when it starts."""
    content = stream.listed(each.pin)
    path = f"{each.folder}/{_STREAM}".lstrip("/")
    return Layer(
        name=f"list of model {each.name}",
        folder=each.name,
        key=_key(path, content.decode()),
        make=lambda _: Tree((File(path, (content,)),)),
        size=len(content),
    )


def _key(place: str, content: Any) -> str:
    said = json.dumps([ID, _VERSION, place, content])
    return hashlib.sha256(said.encode()).hexdigest()


def _identity(shard: Shard) -> Any:
    """All that a shard's bytes depend on."""
    match shard:
        case Whole(files):
            return [[file.path, file.sha256] for file in files]
        case Piece(file, number, count):
            return [file.path, file.sha256, number, count]


def _make(each: Weights, shard: Shard, making: Making) -> Tree:
    files = shard.files if isinstance(shard, Whole) else (shard.file,)
    here = _fetched(each, files, making) if scheme(each.pin.uri) else _local(each, files, making)
    if isinstance(shard, Whole):
        return Tree(tuple(_file(each, path, whole) for path, whole in here.items()))
    return Tree(tuple(_parted(each, shard, here[shard.file.path])))


def _fetched(each: Weights, files: Collection[ModelFile], making: Making) -> dict[str, Range]:
    """Files of a remote model, brought here if need be."""
    root = fetching.fetch(
        each.name,
        each.pin,
        only=[file.path for file in files],
        report=making.report,
        cancellation=making.cancellation,
    )
    return {file.path: Range(root / file.path, 0, file.size) for file in files}


def _local(each: Weights, files: Collection[ModelFile], making: Making) -> dict[str, Range]:
    """Files that are here, which are still what their layer's key was made of."""
    root = places.root(each.pin, each.project)
    here = {file.path: _as_it_is(root / file.path) for file in files}
    paths = [whole.path for whole in here.values()]
    known = making.sha256_of(paths) if making.sha256_of else {}
    for file, path in zip(files, paths, strict=True):
        if known.get(path, file.sha256) != file.sha256:
            raise reading.changed(path)
    return here


def _as_it_is(path: Path) -> Range:
    facts = path.stat()
    return Range(path, 0, facts.st_size, facts.st_mtime_ns)


def _parted(each: Weights, piece: Piece, whole: Range) -> Iterator[File]:
    header = safetensors.read_header(whole.path)
    parts = safetensors.part(header, piece.count)
    part = parts[piece.number]
    name = safetensors.part_name(piece.number, piece.count)
    data = replace(whole, offset=part.offset, length=part.length)
    yield _file(each, shards.beside(piece.file.path, name), part.header, data)
    if piece.number == 0:
        index = shards.beside(piece.file.path, safetensors.INDEX)
        yield _file(each, index, safetensors.index(header, parts))


def _file(each: Weights, path: str, *pieces: bytes | Range) -> File:
    return File(f"{each.folder}/{path}".lstrip("/"), pieces)
