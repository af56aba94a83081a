"""How a model reaches the function: decided by its address, its size and what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlfunc.errors import UsageError
from mlfunc.models.schemes import scheme

if TYPE_CHECKING:
    from mlfunc.function import Delivery, Model

Way = Literal["baked", "volume", "pvc", "stream"]

# Above this, an image of the model's own is kept by nodes whatever becomes of the function's.
BAKED_AT_MOST = 10 * 10**9
_WAYS: dict[str, tuple[Way, ...]] = {
    "": ("baked", "volume"),
    "hf": ("baked", "volume", "stream"),
    "s3": ("baked", "volume", "stream"),
    "oci": ("baked", "volume"),
    "pvc": ("pvc",),
}


@dataclass(frozen=True)
class Choice:
    """The way, and why it is that one."""

    way: Way
    why: str


def choose(name: str, model: Model, size: int) -> Choice:
    """How a model of so many bytes is delivered.

    Raises:
        UsageError: what was asked for cannot be done from where it lies.

    """
    ways = _WAYS[scheme(model.uri)]
    if model.delivery == "auto":
        return _by_size(ways, size)
    for way in ways:
        if way == model.delivery:
            return Choice(way, "as mlfunc.yaml says")
    message = f"model {name}: {model.uri} cannot be delivered as `{model.delivery}`"
    raise UsageError(message, f"{_reason(model.delivery)}write `delivery: {' or '.join(ways)}`")


def _by_size(ways: tuple[Way, ...], size: int) -> Choice:
    if ways == ("pvc",):
        return Choice("pvc", "it lies on a claim")
    if size <= BAKED_AT_MOST:
        return Choice("baked", "up to 10 GB")
    return Choice("volume", f"{size / 1e9:.0f} GB: above 10 GB")


def _reason(delivery: Delivery) -> str:
    reasons = {
        "stream": "the function fetches it from hf:// or s3:// only; ",
        "pvc": "for a claim, the address is pvc://claim/path; ",
    }
    return reasons.get(delivery, "")
