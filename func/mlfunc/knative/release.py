"""A release: a function, the image that was built of it, and where it shall run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlfunc.function import Function


@dataclass(frozen=True)
class Model:
    """A model of the image, as its label says; sizes in bytes."""

    name: str
    uri: str
    delivery: Literal["baked", "volume", "pvc", "stream"]
    size: int
    image: str | None = None  # NAME@sha256 of a model that is an image of its own

    @property
    def mount(self) -> str:
        """Where a volume of it is mounted."""
        return f"/volumes/{self.name}"


@dataclass(frozen=True)
class Release:
    """What a deployment brings to the cluster."""

    function: Function
    namespace: str
    image: str  # NAME@sha256
    size: int  # of the image's layers, in bytes: what a new node pulls
    models: tuple[Model, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)  # what making it has cost

    @property
    def name(self) -> str:
        """Of the Knative Service."""
        return self.function.name
