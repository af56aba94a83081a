"""Releases of the local platform, as items: shown with the cache, and left to the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.cache import disk
from mlfunc.cache.items import Item
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlfunc.cache.disk import Inode


def find() -> list[Item]:
    """All of them: files of models that several have are parts of each."""
    home = homes.home()
    kept = home.models.iterdir() if home.models.is_dir() else ()
    models = dict(disk.each(kept, lambda path: (disk.inode(path), path)))
    return disk.each(disk.folders(home.releases), lambda path: _release(path, models))


def _release(folder: Path, models: Mapping[Inode, Path]) -> Item:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    parts = {str(models.get(disk.inode(path), path)): disk.size(path) for path in files}
    name = folder.name[:12]
    return Item("release", folder.name, name, folder, parts, folder.stat().st_mtime)
