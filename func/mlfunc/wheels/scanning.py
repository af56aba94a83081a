"""A script: have transformers scan its files, and keep the table as the runtime will look for it.

    python -I -S scanning.py SITE IMPORTING FOLDER

SITE holds transformers, IMPORTING is the runtime's module of that name, FOLDER gets the table. What
else transformers imports is made up: it may be compiled for another machine, or not be there.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main(site: str, importing: str, folder: str) -> None:
    """Where transformers has no such function any more, there is no table."""
    package = f"{site}/transformers"
    _make_up("transformers", __path__=[package])
    told = _make_up("transformers.utils.logging", get_logger=logging.getLogger)
    _make_up("transformers.utils", __path__=[f"{package}/utils"], logging=told)
    _make_up("packaging", __path__=[], version=_make_up("packaging.version"))
    utils: Any = importlib.import_module("transformers.utils.import_utils")
    _load(importing).remember(utils, folder)
    utils.create_import_structure_from_path(f"{package}/models")


def _make_up(name: str, **names: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module
    return module


def _load(path: str) -> Any:
    """By its path: its package needs what is not there."""
    spec: Any = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
