"""What a buildpack says of a project: its layers, and how the image is launched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from mlfunc.proc import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from mlfunc.layers.tree import Tree
    from mlfunc.oci.content import Source
    from mlfunc.oci.reference import Reference
    from mlfunc.project import Project

PackId = Literal["mlfunc/accelerator", "mlfunc/model", "mlfunc/python", "mlfunc/app"]
PREFIX = "/layers"
WORKSPACE = "/workspace"


@dataclass(frozen=True)
class Making:
    """What ends the making of a layer early, who is told how far it is, in words, and who knows
    the SHA-256 of files here that have not changed.
    """

    cancellation: Cancellation = field(default_factory=Cancellation)
    report: Callable[[str], None] = lambda _: None
    sha256_of: Callable[[Iterable[Path]], Mapping[Path, str]] | None = None


@dataclass(frozen=True)
class Layer:
    """A layer that can be made, and the key of everything that its bytes depend on.

    Several layers may share a `folder`: they are one layer of the buildpack, parted so that a
    change of one part moves that part alone.
    """

    name: str  # for people: "torch 2.13.0+cpu", "model default 2/12", "dependencies"
    folder: str  # of the buildpack: "stack", "deps"; it lies at /layers/<buildpack>/<folder>
    key: str
    make: Callable[[Making], Tree]
    size: int | None = None  # of its content in bytes, where that is known before it is made
    wheels: int | None = None  # bytes of what is installed in it: its blob gets about as large
    # A layer of another image, taken in place of what `make` gives: where it will be pushed -> the
    # digest of its content, and its blob.
    taken: Callable[[Reference | None], tuple[str, Source]] | None = None
    raw: bool = False  # weights: not compressed, not kept, read again from where they lie
    # What the key was made from, as short digests under the names that people know:
    # {"predictor.py": "9f86d081"}. It tells why a layer is made anew; nothing else reads it.
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Process:
    """What can be started in the image."""

    type: str
    command: tuple[str, ...]
    default: bool = False


@dataclass(frozen=True)
class Launch:
    """What a buildpack adds to the image's start: variables, processes, labels."""

    env: Mapping[str, str] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Detection:
    """What a buildpack brings into the build plan, and what it needs there."""

    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


class Pack(Protocol):
    """One buildpack: a module with these names; `mlfunc.packs.table` has them in order."""

    @property
    def ID(self) -> PackId:
        """What it is called; a property, so that each may have a type of its own."""
        ...

    def detect(self, project: Project) -> Detection | None:
        """What it takes part with; None: the project does not need it."""
        ...

    def layers(self, project: Project) -> tuple[Layer, ...]:
        """Its layers, bottom first. Pure but for reading the project: nothing is made yet."""
        ...

    def launch(self, project: Project) -> Launch:
        """What it adds to the start."""
        ...


def place(pack_id: str, folder: str) -> str:
    """Where a buildpack's layer lies in the image: /layers/mlfunc_python/deps."""
    return f"{PREFIX}/{pack_id.replace('/', '_')}/{folder}"
