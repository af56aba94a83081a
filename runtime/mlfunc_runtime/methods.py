"""The optional methods of a predictor, checked: by what names each is called, and what would never
be called at all.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import schema
from mlfunc_runtime.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What each optional method may ask for by name, besides the fields of the body for before_predict.
_MAY_ASK = {
    "load": ("context",),
    "unload": ("context",),
    "before_predict": ("request", "event"),
    "after_predict": ("result", "request", "event"),
    "after_response": ("result", "request", "event"),
}
# Methods that are called by the names of predict's parameters.
_BY_FIELDS = ("size", "collate")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_LIKELY_TYPOS = 0.75


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """An optional method of the predictor, and the names it wants to be called with."""

    call: Callable[..., Any]
    wants: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Collate:
    """How a batch's columns become what `predict` takes: by the parameter `into`; `passed_on` are
    the columns that it gets as they are, request and event.
    """

    call: Callable[..., Any]
    wants: tuple[str, ...]
    into: str
    passed_on: tuple[str, ...]

    def arguments(self, columns: dict[str, list[Any]]) -> dict[str, Any]:
        """The arguments of predict."""
        made = self.call(**{name: columns[name] for name in self.wants})
        return {name: columns[name] for name in self.passed_on} | {self.into: made}


def hooks(instance: Any) -> dict[str, Hook]:
    """Those that a predictor has of the methods around the prediction."""
    return {name: hook for name in _MAY_ASK if (hook := _hook(instance, name)) is not None}


def own(instance: Any, name: str) -> Any:
    """An attribute, or None, not asking `__getattr__`: a predictor that passes names on to its
    model has no hook because the model has a method of that name.
    """
    found = inspect.getattr_static(instance, name, None)
    return None if found is None else getattr(instance, name)


def _hook(instance: Any, name: str) -> Hook | None:
    method = own(instance, name)
    if method is None:
        return None
    where = f"{type(instance).__name__}.{name}"
    if not callable(method):
        raise StartupError(f"{where} is no method but {type(method).__name__}")
    _refuse_generator(where, method)
    if name == "before_predict":
        return Hook(method, tuple(p.name for p in schema.parameters_of(method)))
    return Hook(method, _wants(where, method, _MAY_ASK[name]))


def _refuse_generator(where: str, method: Callable[..., Any]) -> None:
    plain = inspect.unwrap(method)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise StartupError(
            f"{where} is a generator and would not run", "return a value instead of `yield`"
        )


def _refuse_coroutine(where: str, method: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        raise StartupError(f"{where} is `async def`", "make it `def`: nobody would await it")


def size(instance: Any, binding: schema.Binding) -> Hook | None:
    """`size` gets what one request sends: by the names of predict's parameters, or the only one by
    whatever name.

    Raises:
        StartupError: it asks for something else.

    """
    method = own(instance, "size")
    if method is None or not callable(method):
        # A predictor may keep a number by that name.
        return None
    where = f"{type(instance).__name__}.size"
    _refuse_generator(where, method)
    _refuse_coroutine(where, method)
    parameters = schema.parameters_of(method)
    if len(parameters) == len(binding.names) == 1 and parameters[0].kind in _BY_NAME:
        return Hook(method, (parameters[0].name,))
    return Hook(method, _some(where, _wants(where, method, binding.names)))


def _some(where: str, wants: tuple[str, ...]) -> tuple[str, ...]:
    if not wants:
        hint = "name those fields of a request that it needs as its parameters"
        raise StartupError(f"{where} asks for nothing of a request", hint)
    return wants


def _wants(where: str, method: Callable[..., Any], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The names to pass. One that nobody passes may be there if it has a default."""
    parameters = schema.parameters_of(method)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return allowed
    for parameter in parameters:
        known = parameter.name in allowed and parameter.kind is not parameter.POSITIONAL_ONLY
        if not known and (parameter.default is parameter.empty or parameter.name in allowed):
            hint = f"it may ask for {', '.join(allowed)}" + closest(parameter.name, allowed)
            raise StartupError(f"{where} asks for `{parameter}`, which nobody passes", hint)
    return tuple(p.name for p in parameters if p.name in allowed)


def collate(instance: Any, predict: Callable[..., Any], *, batched: bool) -> Collate | None:
    """`collate`, whose parameters are the fields then; `predict` gets what it returns.

    Raises:
        StartupError: they do not fit together, or nothing is batched.

    """
    method = own(instance, "collate")
    if method is None or not callable(method):
        return None
    where = f"{type(instance).__name__}.collate"
    _refuse_coroutine(where, method)
    _refuse_generator(where, method)
    if not batched:
        hint = "set it higher, or rename the method if it is not for the batcher"
        raise StartupError(f"{where} makes batches, but serve.batch.max_size is 1", hint)
    into = [p.name for p in schema.parameters_of(predict) if p.name not in schema.INJECTED]
    if len(into) != 1:
        hint = "give it one parameter, besides request and event"
        takes = ", ".join(into) or "nothing"
        raise StartupError(f"predict takes {takes} instead of what collate returns", hint)
    wants = _some(where, tuple(p.name for p in schema.parameters_of(method)))
    passed_on = tuple(p.name for p in schema.parameters_of(predict) if p.name in schema.INJECTED)
    return Collate(method, wants, into[0], passed_on)


def refuse_lookalikes(cls: type) -> None:
    """`before_predicts` or `unlod` would silently never run. A private name, or one with a number,
    is the user's own.
    """
    known = (*_MAY_ASK, *_BY_FIELDS)
    for name in vars(cls):
        private = name.startswith("_") or any(map(str.isdigit, name)) or name in known
        close = [] if private else difflib.get_close_matches(name, known, 1, 0.9)
        if close and callable(getattr(cls, name)):
            raise StartupError(
                f"{cls.__name__}.{name} would never be called", f"did you mean {close[0]}?"
            )


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a hint: what was likely meant; empty if nothing is close."""
    close = difflib.get_close_matches(name, list(known), 1, _LIKELY_TYPOS)
    return f"; did you mean {close[0]}?" if close else ""
