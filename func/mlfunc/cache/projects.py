"""Which project uses what of the cache, noted by each command that uses something for it.

projects/ID/folder          where the project is
projects/ID/environment     what it used last, a name a line; model, image: likewise
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mlfunc import paths
from mlfunc.function import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["environment", "model", "image"]
_FOLDER = "folder"


@dataclass(frozen=True)
class Project:
    """A project as it was noted; it may be gone, or elsewhere."""

    folder: Path
    note: Path
    used: Mapping[Kind, frozenset[str]]

    @property
    def exists(self) -> bool:
        """Whether there is a function in its folder."""
        return (self.folder / FILE).is_file()


def note(folder: Path, kind: Kind, names: Iterable[str]) -> None:
    """A project uses these, and none of that kind that it used before."""
    place = folder.resolve()
    ours = _top() / hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    ours.mkdir(parents=True, exist_ok=True)
    _write(ours / _FOLDER, os.fspath(place))
    _write(ours / kind, "\n".join(sorted(names)))


def noted() -> tuple[Project, ...]:
    """All that have used something, in the order of their folders."""
    found = (_read(path) for path in _top().glob(f"*/{_FOLDER}"))
    return tuple(sorted(found, key=lambda each: each.folder))


def forget(project: Project) -> None:
    """It is gone."""
    shutil.rmtree(project.note, ignore_errors=True)


def _read(path: Path) -> Project:
    folder = Path(os.fsdecode(path.read_bytes()))
    return Project(folder, path.parent, {kind: _names(path, kind) for kind in get_args(Kind)})


def _names(path: Path, kind: Kind) -> frozenset[str]:
    file = path.with_name(kind)
    text = os.fsdecode(file.read_bytes()) if file.is_file() else ""
    return frozenset(line for line in text.split("\n") if line)


def _write(path: Path, text: str) -> None:
    """Whole, for it may be read at any moment."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    fresh.write_bytes(os.fsencode(text))
    fresh.replace(path)


def _top() -> Path:
    return paths.cache() / "projects"
