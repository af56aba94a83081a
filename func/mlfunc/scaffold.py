"""From a template and a name to a project's files.

A template is a complete function that is called `my-function`; that word, in its mlfunc.yaml and
its Markdown, is all that a project changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError, NotFound
from mlfunc.function import FILE
from mlfunc.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACEHOLDER = "my-function"
TEMPLATES = Path(__file__).parent / "templates"

_NAMED = {".md", ".yaml"}
_LEFT_BEHIND = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Template:
    """A function to start from."""

    name: str
    summary: str
    folder: Path


def templates(root: Path = TEMPLATES) -> list[Template]:
    """All templates, by name."""
    folders = (path.parent for path in sorted(root.glob(f"*/{FILE}")))
    return [Template(folder.name, _summary(folder), folder) for folder in folders]


def find(name: str, root: Path = TEMPLATES) -> Template:
    """The template of that name.

    Raises:
        NotFound: there is none; the message has those that there are.

    """
    known = {template.name: template for template in templates(root)}
    if name not in known:
        close = closest(name, known)
        message = f"there is no template {name}" + (f"; did you mean {close}?" if close else "")
        raise NotFound(message, f"one of {', '.join(known)}; `mlfunc templates` tells about each")
    return known[name]


def render(template: Template, name: str) -> dict[PurePath, bytes]:
    """The project's files by their relative paths. Nothing is written."""
    paths = (path for path in sorted(template.folder.rglob("*")) if path.is_file())
    relative = ((path, path.relative_to(template.folder)) for path in paths)
    return {
        inside: _renamed(path, name)
        for path, inside in relative
        if not _LEFT_BEHIND.intersection(inside.parts)
    }


def write(files: Mapping[PurePath, bytes], folder: Path) -> None:
    """Write a project into a folder that is new or empty.

    Raises:
        MlfuncError: something is there already.

    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise MlfuncError(f"{folder} {what}", "choose another folder with --path")
    for inside, content in files.items():
        path = folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _renamed(path: Path, name: str) -> bytes:
    content = path.read_bytes()
    if path.suffix not in _NAMED:
        return content
    return content.replace(PLACEHOLDER.encode(), name.encode())


def _summary(folder: Path) -> str:
    """The comment that opens mlfunc.yaml, else the first paragraph of the README."""
    first = (folder / FILE).read_text(encoding="utf-8").partition("\n")[0]
    if first.startswith("#"):
        return first.lstrip("# ").strip()
    readme = folder / "README.md"
    return _paragraph(readme.read_text(encoding="utf-8")) if readme.is_file() else ""


def _paragraph(markdown: str) -> str:
    blocks = (" ".join(block.split()) for block in markdown.split("\n\n"))
    return next((block for block in blocks if block and not block.startswith("#")), "")
