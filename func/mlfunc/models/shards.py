"""Which files of a model go into which layer, from what mlfunc.lock says of them alone.

Nothing is opened here, so that layers that are there already cost nothing. Layers are of about
1 GiB: a registry takes them, an upload that breaks loses little, many are moved at once; and they
are no more than a file system of layers can bear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.models import safetensors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mlfunc.lock import ModelFile

MIB, GIB = 2**20, 2**30
SHARD = GIB
# A file up to this size is not parted.
WHOLE = 2 * GIB
# A layer above this is refused by some registries.
HUGE = 10 * 10**9
_SMALL = 64 * MIB
_BUNDLE = 256 * MIB
_LAYERS = 48
_BUNDLES = 8


@dataclass(frozen=True)
class Whole:
    """Files as they are."""

    files: tuple[ModelFile, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Piece:
    """One of the parts of a safetensors file; the first has the index, too."""

    file: ModelFile
    number: int
    count: int

    @property
    def size(self) -> int:
        """In bytes, about."""
        return self.file.size // self.count


Shard = Whole | Piece


def plan(files: Sequence[ModelFile], partable: Collection[str] = ()) -> tuple[Shard, ...]:
    """The layers of a model: each file in one, save the large ones that may be parted.

    What is most likely to change comes last: a node keeps what is below a layer that changed.
    """
    limit = max(SHARD, -(-sum(file.size for file in files) // _LAYERS))
    ordered = sorted(files, key=lambda file: file.path)
    small = [file for file in ordered if file.size < _SMALL]
    parted = [file for file in ordered if file.path in partable and file.size > max(WHOLE, limit)]
    large = [file for file in ordered if file.size >= _SMALL and file not in parted]
    pieces = (each for file in parted for each in _pieces(file, limit))
    return (*_large(large), *pieces, *_bundles(small))


def _bundles(files: Sequence[ModelFile]) -> Iterator[Whole]:
    limit = max(_BUNDLE, -(-sum(file.size for file in files) // _BUNDLES))
    return _filled(files, limit)


def _large(files: Sequence[ModelFile]) -> Iterator[Whole]:
    """Each by itself, so that what does not change does not move; fuller ones of very many."""
    if len(files) <= _LAYERS:
        return (Whole((file,)) for file in files)
    return _filled(files, max(SHARD, 2 * -(-sum(file.size for file in files) // _LAYERS)))


def _filled(files: Sequence[ModelFile], limit: int) -> Iterator[Whole]:
    """As many in each as go in, in order."""
    held: list[ModelFile] = []
    for file in files:
        if held and sum(each.size for each in held) + file.size > limit:
            yield Whole(tuple(held))
            held = []
        held.append(file)
    if held:
        yield Whole(tuple(held))


def _pieces(file: ModelFile, limit: int) -> Iterator[Piece]:
    count = -(-file.size // limit)
    return (Piece(file, number, count) for number in range(count))


def may_need_parts(files: Sequence[ModelFile]) -> tuple[str, ...]:
    """Files that are worth parting, if their loader reads an index: config.json tells."""
    paths = {file.path for file in files}
    return tuple(
        file.path
        for file in files
        if file.size > WHOLE
        and file.path.rpartition("/")[2] == "model.safetensors"
        and beside(file.path, "config.json") in paths
        and beside(file.path, safetensors.INDEX) not in paths
    )


def beside(path: str, name: str) -> str:
    """The path of another file in the same folder."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash + name


def notes(name: str, shards: Sequence[Shard]) -> Iterator[str]:
    """What to know of these layers before they are pushed."""
    for shard in shards:
        match shard:
            case Piece(file, 0, count):
                yield (
                    f"model {name}: {file.path} goes into {count} parts and an index, as"
                    " transformers writes and reads them"
                )
            case Whole((file,)) if file.size > HUGE:
                yield (
                    f"model {name}: {file.path} is one layer of {file.size / 1e9:.0f} GB, which"
                    " some registries refuse"
                )
            case _:
                pass
