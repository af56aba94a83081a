"""Put names into the standard library's modules, now or when they are imported."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

replaced: dict[str, dict[str, Any]] = {}


def replace(module: ModuleType, **names: Any) -> None:
    """Give a module other objects for some of its names."""
    for name, value in names.items():
        replaced.setdefault(module.__name__, {})[name] = getattr(module, name)
        setattr(module, name, value)


def when_imported(name: str, action: Callable[[ModuleType], None]) -> None:
    """Call `action` with a module: at once, or when somebody imports it.

    A cold start does not pay for modules that nobody uses.
    """
    if name in sys.modules:
        action(sys.modules[name])
        return
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.actions[name] = action


class _Finder:
    """Finds the awaited modules where they are, and adds a step to their import."""

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[ModuleType], None]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The hook of `sys.meta_path`: None for what others shall find."""
        action = self.actions.pop(name, None)
        if action is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _add_step(spec.loader, action)
        return spec


def _add_step(loader: Any, action: Callable[[ModuleType], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        action(module)

    loader.exec_module = exec_module


_finder = _Finder()
