"""The standard library's compiled modules, for a base image that comes without.

Official images of Python delete them, and where nobody may write each start compiles some hundred
modules anew. They are made of the base's own sources; Python compares the hash of each, so that
they are right, or unused, on whatever release of this Python the image is rebased to.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING

from mlfunc.builder import contents
from mlfunc.layers.tree import Tree
from mlfunc.packs.layer import Layer
from mlfunc.wheels import bytecode, staging
from mlfunc.wheels.bytecode import Module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.builder.base import Base
    from mlfunc.packs.layer import Making

_VERSION = 1
# What no function imports, or has its own layers.
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "tkinter", "ensurepip"} | {
    "site-packages",
    "dist-packages",
}


def layer(base: Base, python: str) -> Layer | None:
    """The layer; None: the base has compiled modules, or its library is elsewhere."""
    if base.bare is None:
        return None
    whole = json.dumps([_VERSION, base.bare, python, base.pin.digest])
    return Layer(
        name="standard library",
        folder="standard-library",
        key=hashlib.sha256(whole.encode()).hexdigest(),
        make=functools.partial(_make, base, base.bare, python),
        inputs={"base": base.pin.digest.rpartition(":")[2][:8]},
    )


def _make(base: Base, library: str, python: str, making: Making) -> Tree:
    scratch = staging.folder()
    modules = {module.at: module for module in _modules(base, library, scratch, making)}
    compiled = bytecode.compile_all(modules.values(), python, making.cancellation, checked=True)
    return Tree(tuple(compiled))


def _modules(base: Base, library: str, scratch: Path, making: Making) -> Iterator[Module]:
    """The sources, brought here: those of a layer above take the place of those below."""
    making.report("reading the standard library of the base image")
    wanted = functools.partial(_is_wanted, library)
    for layer in base.image.layers:
        for path, source in contents.files(
            layer.open().read(), layer.descriptor.media_type, wanted
        ):
            making.cancellation.check()
            here = scratch / path
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(source)
            yield Module(here, path, hashlib.sha256(source).hexdigest())


def _is_wanted(library: str, path: str) -> bool:
    steps = path.removeprefix(f"{library}/").split("/")
    return path.startswith(f"{library}/") and path.endswith(".py") and not _LEFT_OUT & {*steps}
