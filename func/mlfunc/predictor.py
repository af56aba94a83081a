"""What can be told of a predictor without importing it: its packages may not be on this machine.

What its source leaves open is taken to be right: the runtime says the rest when it starts.
"""

from __future__ import annotations

import ast
import posixpath
import sys
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc import function as description
from mlfunc import ignore
from mlfunc.errors import UsageError
from mlfunc.suggest import closest, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mlfunc.function import Function

    Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_CORRECT = f"correct `predictor:` in {description.FILE}"
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_DEFINITIONS, ast.Lambda)
# Who uses these may give a module or a class names that its source does not show.
_OPEN = {"globals", "locals", "vars", "exec", "eval", "setattr"}


def check(folder: Path, function: Function) -> None:
    """Whether the class that mlfunc.yaml names is in the project, and has what a predictor needs.

    Raises:
        UsageError: the file is not there, not packed or no Python of the version that it is for;
            there is no such class in it, or it has no `predict`.

    """
    file, _, name = function.predictor.partition(":")
    path = folder / file
    if not path.is_file():
        raise _missing(folder, file)
    _check_packed(folder, function, file)
    tree = _parse(path, file, function.target_python)
    if tree is not None:
        examine(tree, file, name)


def examine(tree: ast.Module, file: str, name: str) -> None:
    """Whether a module defines a predictor of this name, or gets one from elsewhere.

    Raises:
        UsageError: it cannot.

    """
    module = _Module.of(tree)
    if module.is_open:
        return
    found = module.definitions.get(name)
    if found is None and name not in module.bound | module.assigned:
        raise UsageError(f"{file} has no class {name}", _meant(module, name))
    if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
        message = f"{name} in {file} is a function, and a predictor is a class"
        raise UsageError(message, _meant(module, name))
    if found is not None and module.lacks_predict(found):
        raise UsageError(f"class {name} in {file} has no method predict", _renamed(found))


@dataclass(frozen=True)
class _Module:
    """What a module binds; `definitions` are of names that have no other meaning in it."""

    bound: frozenset[str]
    definitions: Mapping[str, Definition]
    assigned: frozenset[str]  # attributes of whatever: `Predictor.predict = ...`
    is_open: bool  # it may have any other name, too

    @classmethod
    def of(cls, tree: ast.Module) -> _Module:
        inside, nodes = list(_level(tree)), list(ast.walk(tree))
        bound = Counter([*_bound(inside), *_declared(nodes)])
        definitions = {
            node.name: node
            for node in inside
            if isinstance(node, _DEFINITIONS) and bound[node.name] == 1 and not node.decorator_list
        }
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        is_open = bool(used & _OPEN or {"*", "__getattr__"} & bound.keys())
        return cls(frozenset(bound), definitions, frozenset(_assigned(nodes)), is_open)

    def lacks_predict(self, found: ast.ClassDef, seen: frozenset[str] = frozenset()) -> bool:
        """Whether neither a class nor one that it is made of can have the method."""
        if found.keywords or "predict" in self.assigned:
            return False
        if {"predict", "__getattr__", "__getattribute__"}.intersection(_bound(_level(found))):
            return False
        return all(self._brings_none(base, seen | {found.name}) for base in found.bases)

    def _brings_none(self, base: ast.expr, seen: frozenset[str]) -> bool:
        name = base.id if isinstance(base, ast.Name) else ""
        if name in seen or name == "object":
            return True
        found = self.definitions.get(name)
        return isinstance(found, ast.ClassDef) and self.lacks_predict(found, seen)


def _level(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a module or a class, but not in the scopes within it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _level(child)


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that they give something."""
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)):
                yield name
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.alias(name=name, asname=asname):
                yield asname or name.partition(".")[0]
            case _:
                pass


def _declared(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names of the module that a function may give something."""
    return (name for node in nodes if isinstance(node, ast.Global) for name in node.names)


def _assigned(nodes: Iterable[ast.AST]) -> Iterator[str]:
    attributes = (node for node in nodes if isinstance(node, ast.Attribute))
    return (node.attr for node in attributes if isinstance(node.ctx, ast.Store))


def _missing(folder: Path, file: str) -> UsageError:
    others = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*.py"))]
    message = f"{description.FILE} names {file}, which is not in {folder.absolute()}"
    close = closest(file, others)
    return UsageError(message, f"did you mean {close}?" if close else f"write it, or {_CORRECT}")


def _check_packed(folder: Path, function: Function, file: str) -> None:
    """What a link leads to is there only if it is in the project, too."""
    top, path = folder.resolve(), (folder / file).resolve()
    climbs = posixpath.normpath(file).startswith(("/", "../"))  # and comes back, perhaps
    if climbs or not path.is_relative_to(top):
        message = f"{description.FILE} names {file}, which leads out of {folder.absolute()}"
        raise UsageError(message, f"copy the file into the project, and {_CORRECT}")
    models = function.local_models.values()
    left_out = ignore.left_out_with(folder, path.relative_to(top).as_posix(), models)
    if left_out:
        message = f"{description.FILE} names {file}, and {left_out} is not packed"
        back = f"bring it back by `!/{left_out}` as the last line of {ignore.FILE}"
        raise UsageError(message, f"{back}, or move the file")


def _parse(path: Path, file: str, python: str) -> ast.Module | None:
    """None: it may be right for a Python that is newer than this one."""
    version = (3, int(python.partition(".")[2]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the function's own tests show them
            tree = ast.parse(path.read_bytes(), path, feature_version=version)
            compile(tree, path, "exec", dont_inherit=True)  # `return` outside a function
    except (SyntaxError, ValueError, RecursionError) as error:
        if version > sys.version_info[:2]:
            return None
        raise _broken(error, file, python) from error
    return tree


def _broken(error: Exception, file: str, python: str) -> UsageError:
    line = getattr(error, "lineno", None)
    where = f"{file}:{line}" if line else file
    shown = "".join(traceback.format_exception_only(error)[1:-1])  # the line, and where in it
    message = f"{where}: {getattr(error, 'msg', error)}"
    return UsageError(message, f"correct it: it is read as Python {python}", evidence=shown)


def _meant(module: _Module, name: str) -> str:
    classes = [
        name
        for name, found in module.definitions.items()
        if isinstance(found, ast.ClassDef) and not module.lacks_predict(found)
    ]
    if not classes:
        return f"write a class with a method predict, and {_CORRECT}"
    return f"{_CORRECT}: {did_you_mean(name, classes)}"


def _renamed(found: ast.ClassDef) -> str:
    close = closest("predict", sorted(_bound(_level(found))))
    return f"rename {close} to predict" if close else "write it: def predict(self, ...)"
