"""The small layers that are the builder's own, and lie above the app: a kilobyte each.

Their order and places are those of a lifecycle's exporter.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mlfunc import __version__
from mlfunc.builder import launcher
from mlfunc.builder.planning import Part
from mlfunc.layers import tar
from mlfunc.layers.tree import File, Tree
from mlfunc.packs.layer import PREFIX, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.packs.layer import Launch, Process

_METADATA = f"{PREFIX}/config/metadata.toml"
_SBOM = f"{PREFIX}/sbom/launch/mlfunc_python/sbom.cdx.json"
API = "0.10"


def sbom(document: bytes) -> Part:
    """The list of what is in the image, in CycloneDX."""
    tree = _file(_SBOM, document)
    return _part("sbom", "list of packages", tree, "Software Bill-of-Materials")


def outfit(launch: Launch, packs: Sequence[str]) -> tuple[Part, ...]:
    """Launcher, metadata and the names of processes."""
    config = _file(_METADATA, metadata(launch.processes, packs).encode())
    return (
        _part(
            "launcher",
            "launcher",
            launcher.tree(launch.processes),
            "Buildpacks Application Launcher",
        ),
        _part("config", "launcher configuration", config, "Buildpacks Launcher Config"),
        _part(
            "process-types",
            "process types",
            launcher.links(launch.processes),
            "Buildpacks Process Types",
        ),
    )


def metadata(processes: Sequence[Process], packs: Sequence[str]) -> str:
    """metadata.toml, as the real launcher reads it: platform specification, "launcher"."""
    blocks = [
        f"[[buildpacks]]\napi = {_text(API)}\nid = {_text(pack)}\nversion = {_text(__version__)}\n"
        for pack in packs
    ]
    start = launcher.default(processes)
    return "\n".join([*blocks, *(_process(each, is_default=each is start) for each in processes)])


def _process(process: Process, *, is_default: bool) -> str:
    return (
        f"[[processes]]\n"
        f"type = {_text(process.type)}\ncommand = {json.dumps(list(process.command))}\n"
        f"direct = true\ndefault = {json.dumps(is_default)}\n"
        f'buildpack-id = "mlfunc/app"\n'
    )


def _text(text: str) -> str:
    """A basic string of TOML, which JSON's are."""
    return json.dumps(text)


def _file(path: str, content: bytes) -> Tree:
    return Tree((File(path.lstrip("/"), (content,)),))


def _part(folder: str, name: str, tree: Tree, history: str) -> Part:
    """So small that its key is its content."""
    content = hashlib.sha256(b"".join(tar.archive(tree).read())).hexdigest()
    layer = Layer(name=name, folder=folder, key=content, make=lambda _: tree, size=tree.size)
    return Part(layer, "", f"{PREFIX}/{folder}", history)
