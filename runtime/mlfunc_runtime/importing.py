"""A table that transformers works out at each import, kept from one start to the next.

It reads and scans each of its 3000 source files for the names that it offers: a tenth of a start.
`MLFUNC_IMPORT_CACHE` names the folder for what came of it, and nothing is kept without. What was
kept is used only by the release that it was made from, wherever that is installed: an image brings
a table that was made with it, elsewhere. All else about the import stays.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Scan = Callable[[Any], dict[str, Any]]

_VARIABLE = "MLFUNC_IMPORT_CACHE"
_MODULE = "transformers.utils.import_utils"
_SCAN = "create_import_structure_from_path"
_FILE = "transformers.marshal"
# The last format without references, which tell what else held a string: the bytes are the table's.
_FORMAT = 2


def keep_tables(environ: Mapping[str, str]) -> None:
    """Keep the table of transformers, should it be imported, where the environment says."""
    if environ.get(_VARIABLE):
        sys.meta_path.insert(0, _Finder(environ[_VARIABLE]))


class _Finder:
    """Has one module's function replaced as soon as the module is there, and leaves."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """MetaPathFinder's method."""
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = self._then(loader.exec_module)
        return spec

    def _then(self, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            execute(module)
            remember(module, self._folder)

        return exec_module


def remember(module: ModuleType, folder: str) -> None:
    """Have the module's function look into `folder` first. Where it is not what we know, or not
    installed from a wheel, it stays as it is.
    """
    scan = getattr(module, _SCAN, None)
    package = os.path.dirname(os.path.dirname(str(module.__file__)))  # noqa: PTH120 - pathlib is not needed for it
    release = _release(package)
    if scan is not None and release:
        kept = os.path.join(folder, _FILE)  # noqa: PTH118
        setattr(module, _SCAN, _remembering(scan, f"{package}/models", kept, release))


def _release(package: str) -> str:
    """What changes with any of its files. "" where it is not installed from a wheel, as a checkout
    whose files may change at any time.
    """
    site, name = os.path.split(package)
    for entry in os.listdir(site):  # noqa: PTH208
        if entry.startswith(f"{name}-") and entry.endswith(".dist-info"):
            hashes = _recorded(f"{site}/{entry}/RECORD", f"{name}/")
            return f"{entry} {hashes}" if hashes else ""
    return ""


def _recorded(path: str, folder: str) -> str:
    """A digest of the record's lines of source files. Others change with the place: scripts begin
    with the path of their Python, and bytecode is compiled there.
    """
    from hashlib import sha256

    try:
        with open(path, encoding="utf-8") as record:  # noqa: PTH123
            lines = [line.strip() for line in record if line.startswith(folder)]
    except OSError:
        return ""
    sources = sorted(line for line in lines if ".pyc," not in line)
    return sha256("\n".join(sources).encode()).hexdigest()


def _remembering(scan: Scan, root: str, kept: str, release: str) -> Scan:
    """`scan`, for whose longest case, all models at once, there is an answer."""

    def remembering(path: Any) -> dict[str, Any]:
        if str(path) not in (root, f"{root}/__init__.py"):
            return scan(path)
        table = _read(kept, release)
        if table is None:
            table = scan(path)
            _write(kept, release, table)
        return table

    return remembering


def _read(kept: str, release: str) -> dict[str, Any] | None:
    try:
        with open(kept, "rb") as file:  # noqa: PTH123
            made_from, table = marshal.load(file)  # noqa: S302 - a folder of the operator's choice
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return table if made_from == release and isinstance(table, dict) else None


def _write(kept: str, release: str, table: dict[str, Any]) -> None:
    """Whole or not at all; not where nothing can be written, as in an image."""
    unfinished = f"{kept}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(kept), exist_ok=True)  # noqa: PTH103, PTH120
        with open(unfinished, "wb") as file:  # noqa: PTH123
            marshal.dump((release, _in_order(table)), file, _FORMAT)
        os.replace(unfinished, kept)  # noqa: PTH105
    except (OSError, ValueError):
        return


def _in_order(table: Any) -> Any:
    """Its keys, names or sets of them, are in the order in which the file system had the files."""
    if not isinstance(table, dict):
        return table
    keys = sorted(table, key=lambda key: [key] if isinstance(key, str) else sorted(key))
    return {key: _in_order(table[key]) for key in keys}
