"""Models that are files here: `./weights`, `./model.onnx`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.errors import NotFound, UsageError
from mlfunc.models.source import Item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def items(name: str, path: Path) -> tuple[Item, ...]:
    """The files at a path; that of a single file is its name.

    Raises:
        NotFound: nothing is there.
        UsageError: a file cannot be read, or is none.

    """
    if path.is_file():
        return (Item(path.name, path.stat().st_size),)
    if not path.is_dir():
        hint = "put the model there, or mend `models:` in mlfunc.yaml"
        raise NotFound(f"model {name}: {path} is not there", hint)
    return tuple(sorted(_walk(path, path, ()), key=lambda item: item.path))


def root(path: Path) -> Path:
    """What the paths of a model's files are relative to."""
    return path.parent if path.is_file() else path


def _walk(root: Path, folder: Path, above: tuple[Path, ...]) -> Iterator[Item]:
    # Links are followed, for the cache of the Hugging Face Hub is made of them; not in circles.
    seen = (*above, folder.resolve())
    for path in folder.iterdir():
        if path.is_file():
            yield Item(path.relative_to(root).as_posix(), path.stat().st_size)
        elif path.is_dir() and path.resolve() not in seen:
            yield from _walk(root, path, seen)
        elif not path.is_dir() and not path.name.startswith("."):
            what = "leads nowhere" if path.is_symlink() else "is no file"
            raise UsageError(f"{path} {what}", "remove it: it cannot be in an image")
