"""How an image is called: from options, else mlfunc.yaml, else the environment. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError
from mlfunc.oci import reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.function import Function
    from mlfunc.oci.reference import Reference

REGISTRY = "MLFUNC_REGISTRY"
_TAG = "latest"


@dataclass(frozen=True)
class Naming:
    """What an image is called; without a registry it has a name on this machine alone."""

    name: str  # registry.example.com/team/similarity, or similarity
    references: tuple[Reference, ...]  # one for each tag; none: there is no registry
    tag: str = _TAG  # the first

    @property
    def registry(self) -> str:
        """Its address, HOST:PORT; nothing where there is none."""
        return self.references[0].registry if self.references else ""

    @property
    def whole(self) -> Reference:
        """Its first name; without a registry, as Docker would complete it."""
        return self.references[0] if self.references else reference.parse(self.here)

    @property
    def here(self) -> str:
        """What it is remembered under on this machine."""
        return str(self.references[0]) if self.references else f"{self.name}:{self.tag}"


def named(
    function: Function,
    *,
    image: str | None = None,
    registry: str | None = None,
    tags: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Naming:
    """What a function's image is called; what was typed wins over what is written.

    Raises:
        UsageError: it is no name of an image.

    """
    text = (
        image
        or (registry and _within(registry, function.name))
        or function.image
        or _within(function.registry or environ.get(REGISTRY), function.name)
    )
    if text is None:
        return _without_registry(function.name, tags)
    whole = reference.parse(text)
    if whole.digest:
        message = f"{text} names an image by its digest, which is not known before it is built"
        raise UsageError(message, "name it by a tag")
    references = tuple(whole.tagged(tag) for tag in tags or (whole.tag or _TAG,))
    name = replace(whole, tag=None).name
    return Naming(name, tuple(dict.fromkeys(references)), references[0].target)


def _without_registry(name: str, tags: Sequence[str]) -> Naming:
    """Its tags are those that it would be loaded under; there is room for one."""
    for tag in tags:
        reference.parse(name).tagged(tag)
    return Naming(name, (), (*tags, _TAG)[0])


def title(name: str) -> str:
    """The last part of a name, without registry and tag: what people call it."""
    return reference.parse(name).repository.rpartition("/")[2]


def beside(named: Naming, model: str, tag: str) -> Naming:
    """What the image of one of its models is called."""
    suffix = f"-model-{model.lower()}"
    references = tuple(
        replace(each, repository=each.repository + suffix, tag=tag) for each in named.references[:1]
    )
    return Naming(named.name + suffix, references, tag)


def _within(registry: str | None, name: str) -> str | None:
    return f"{registry.rstrip('/')}/{name}" if registry else None
