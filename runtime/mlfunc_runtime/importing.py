"""A table that transformers works out at each import, kept from one start to the next.

It reads and scans each of its 3000 source files for the names that it offers: a tenth of a start.
`MLFUNC_IMPORT_CACHE` names the folder for what came of it, and nothing is kept without. What was
kept is used only by the installation that it was made from; all else about the import stays.
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
            _replace(module, self._folder)

        return exec_module


def _replace(module: ModuleType, folder: str) -> None:
    """Where it is not what we know, or not installed from a wheel, it stays as it is."""
    scan = getattr(module, _SCAN, None)
    package = os.path.dirname(os.path.dirname(str(module.__file__)))  # noqa: PTH120 - pathlib is not needed for it
    installation = _installation(package)
    if scan is not None and installation:
        kept = os.path.join(folder, _FILE)  # noqa: PTH118
        setattr(module, _SCAN, _remembering(scan, f"{package}/models", kept, installation))


def _installation(package: str) -> str:
    """What changes when another version is installed: its record. "" without one, as in a checkout
    whose files may change at any time.
    """
    site, name = os.path.split(package)
    for entry in os.listdir(site):  # noqa: PTH208
        if entry.startswith(f"{name}-") and entry.endswith(".dist-info"):
            try:
                record = os.stat(f"{site}/{entry}/RECORD")  # noqa: PTH116
            except OSError:
                return ""
            return f"{sys.version} {package} {entry} {record.st_mtime_ns} {record.st_size}"
    return ""


def _remembering(scan: Scan, root: str, kept: str, installation: str) -> Scan:
    """`scan`, for whose longest case, all models at once, there is an answer."""

    def remembering(path: Any) -> dict[str, Any]:
        if str(path) not in (root, f"{root}/__init__.py"):
            return scan(path)
        table = _read(kept, installation)
        if table is None:
            table = scan(path)
            _write(kept, installation, table)
        return table

    return remembering


def _read(kept: str, installation: str) -> dict[str, Any] | None:
    try:
        with open(kept, "rb") as file:  # noqa: PTH123
            made_from, table = marshal.load(file)  # noqa: S302 - a folder of the operator's choice
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return table if made_from == installation and isinstance(table, dict) else None


def _write(kept: str, installation: str, table: dict[str, Any]) -> None:
    """Whole or not at all; not where nothing can be written, as in an image."""
    unfinished = f"{kept}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(kept), exist_ok=True)  # noqa: PTH103, PTH120
        with open(unfinished, "wb") as file:  # noqa: PTH123
            marshal.dump((installation, table), file)
        os.replace(unfinished, kept)  # noqa: PTH105
    except (OSError, ValueError):
        return
