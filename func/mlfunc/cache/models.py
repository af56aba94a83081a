"""Models that were fetched, as items of the cache: files that models share are parts of each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mlfunc.cache import disk, holding
from mlfunc.cache.items import Item
from mlfunc.models import fetching

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlfunc.cache.disk import Inode


def find() -> list[Item]:
    """All models, and the files that belong to none: downloads that were broken off, too."""
    blobs = dict(disk.each(_blobs(), lambda path: (disk.inode(path), path)))
    folders = [path for path in disk.folders(fetching.blobs().parent) if path != fetching.blobs()]
    busy = holding.is_held(fetching.blobs())
    loose = [path for path in blobs.values() if 1 in disk.each([path], disk.links)]
    return [
        *disk.each(folders, lambda path: _model(path, blobs)),
        *disk.each(loose, lambda path: _download(path, busy=busy)),
    ]


def remove(item: Item) -> None:
    """Take a model away; its files stay until `remove_files`."""
    shutil.rmtree(item.place)


def remove_files(parts: Iterable[str]) -> set[str]:
    """Take away those that no model has now; says which. None while a program fetches some."""
    with holding.alone(fetching.blobs()) as nobody:
        ours = [path for path in _blobs() if nobody and str(path) in set(parts)]
        gone = [path for path in ours if disk.links(path) == 1]
        for path in gone:
            path.unlink()
    return {str(path) for path in gone}


def _model(folder: Path, blobs: Mapping[Inode, Path]) -> Item:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return Item(
        "model",
        folder.name,
        holding.name(folder) or folder.name,
        folder,
        {str(blobs.get(disk.inode(path), path)): disk.size(path) for path in files},
        holding.last(folder),
        busy=holding.is_held(folder),
    )


def _download(path: Path, *, busy: bool) -> Item:
    name = "a file of no model" if path.suffix == "" else "a download that was broken off"
    parts = {str(path): disk.size(path)}
    return Item("download", path.name, name, path, parts, path.stat().st_mtime, busy=busy)


def _blobs() -> list[Path]:
    folder = fetching.blobs()
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if path.suffix != ".lock"]
