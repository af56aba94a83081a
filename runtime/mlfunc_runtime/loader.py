"""Find the user's predictor, check every way it can be missing or wrong, and describe it as plain
data.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import inspect
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import codec, schema
from mlfunc_runtime.errors import SettingsError, StartupError
from mlfunc_runtime.messages import BINARY, JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from mlfunc_runtime.settings import Settings

# What each optional method may ask for by name, besides the fields of the body for before_predict.
_MAY_ASK = {
    "load": ("context",),
    "unload": ("context",),
    "before_predict": ("request", "event"),
    "after_predict": ("result", "request", "event"),
    "after_response": ("result", "request", "event"),
}
_LIKELY_TYPOS = 0.75


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """An optional method of the predictor, and the names it wants to be called with."""

    call: Callable[..., Any]
    wants: tuple[str, ...]
    is_async: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """The predictor's `example` as a body that a client would send."""

    content_type: str
    body: bytes
    data: Any = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A predictor that was checked: what to call, how to bind, what to expect.

    `wire` binds what a client sends: before_predict's own body parameters if it has some, else
    predict's. `trusts_before` says that before_predict takes the request alone, so that only it
    knows what the wire looks like.
    """

    name: str
    description: str
    predict: Callable[..., Any]
    binding: schema.Binding
    wire: schema.Binding
    trusts_before: bool
    needs_event: bool
    output: Any
    streams: bool
    batch: int
    hooks: dict[str, Hook]
    example: Example | None


def import_class(settings: Settings) -> type:
    """Import the module of the predictor and return its class.

    Raises:
        StartupError: the file or class is not there, or the module raised (then that is the cause).

    """
    file, colon, name = settings.predictor.partition(":")
    if not (colon and file.endswith(".py") and name.isidentifier()):
        raise SettingsError(
            f"predictor: {settings.predictor!r} is no predictor",
            "write it like predictor.py:Predictor",
        )
    module = _import_file(settings.folder, file)
    found = getattr(module, name, None)
    if isinstance(found, type):
        return found
    classes = [
        n
        for n, v in vars(module).items()
        if isinstance(v, type) and v.__module__ == module.__name__
    ]
    what = "is no class" if found is not None else "does not exist"
    raise StartupError(f"class {name} in {file} {what}", _suggest(name, classes, "it defines"))


def describe(cls: type, settings: Settings) -> Predictor:
    """Make the predictor and check it against what it declares.

    Raises:
        StartupError: it cannot be made, `predict` is missing or its signature does not fit.

    """
    instance = _make(cls)
    predict = _predict_of(cls, instance)
    batched = settings.batch > 1
    hooks = {name: hook for name in _MAY_ASK if (hook := _hook(instance, name)) is not None}
    binding = schema.bind(predict, batched=batched)
    before = _before_binding(hooks)
    streams = inspect.isgeneratorfunction(predict)
    _check_stream(streams=streams, batched=batched, hooks=hooks)
    _refuse_lookalikes(cls)
    return Predictor(
        name=settings.predictor,
        description=inspect.cleandoc(cls.__doc__ or ""),
        predict=predict,
        binding=binding,
        wire=_wire(before, binding),
        trusts_before=before is not None and not before.names,
        needs_event=binding.needs_event or (before is not None and before.needs_event),
        output=schema.output_type(predict, batched=batched),
        streams=streams,
        batch=settings.batch,
        hooks=hooks,
        example=_example(getattr(instance, "example", None)),
    )


def _import_file(folder: Path, file: str) -> ModuleType:
    path = folder / file
    if not path.is_file():
        others = [str(p.relative_to(folder)) for p in sorted(folder.glob("*.py"))]
        raise StartupError(
            f"predictor file {file} does not exist in {folder}", _suggest(file, others, "there are")
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module_name = ".".join(Path(file).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise StartupError(f"predictor file {file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _import_failed(file, error) from error
    return module


def _import_failed(file: str, error: BaseException) -> StartupError:
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"add the package that has {error.name.partition('.')[0]} to requirements.txt"
        return StartupError(f"{file} imports {error.name}, which is not installed", hint)
    return StartupError(f"{file} cannot be imported: {_say(error)}")


def _make(cls: type) -> Any:
    required = [
        p
        for p in _init_parameters(cls)
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if required:
        names = ", ".join(p.name for p in required)
        raise StartupError(
            f"{cls.__name__}() needs {names}",
            "a predictor is made without arguments; use load(self, context)",
        )
    try:
        return cls()
    except (Exception, SystemExit) as error:
        raise StartupError(f"{cls.__name__}() raised {_say(error)}") from error


def _init_parameters(cls: type) -> Iterable[inspect.Parameter]:
    return inspect.signature(cls).parameters.values()


def _predict_of(cls: type, instance: Any) -> Callable[..., Any]:
    predict = getattr(instance, "predict", None)
    if predict is None:
        methods = [name for name in vars(cls) if not name.startswith("_")]
        raise StartupError(
            f"{cls.__name__} has no method predict", _suggest("predict", methods, "it has")
        )
    if not callable(predict):
        raise StartupError(f"{cls.__name__}.predict is no method but {type(predict).__name__}")
    if inspect.iscoroutinefunction(predict) or inspect.isasyncgenfunction(predict):
        hint = (
            "make it `def`, it has a thread of its own; IO belongs in before_predict (async or not)"
        )
        raise StartupError(f"{cls.__name__}.predict is `async def`", hint)
    bound: Callable[..., Any] = predict
    return bound


def _hook(instance: Any, name: str) -> Hook | None:
    method = getattr(instance, name, None)
    if method is None:
        return None
    where = f"{type(instance).__name__}.{name}"
    if not callable(method):
        raise StartupError(f"{where} is no method but {type(method).__name__}")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise StartupError(
            f"{where} is a generator and would not run", "return a value instead of `yield`"
        )
    wants = tuple(inspect.signature(method).parameters)
    if name != "before_predict":
        _check_wants(where, method, _MAY_ASK[name])
    return Hook(method, wants, inspect.iscoroutinefunction(method))


def _check_wants(where: str, method: Callable[..., Any], allowed: tuple[str, ...]) -> None:
    for parameter in inspect.signature(method).parameters.values():
        if parameter.name not in allowed:
            hint = f"it may ask for {', '.join(allowed)}" + _closest(parameter.name, allowed)
            raise StartupError(f"{where} asks for `{parameter}`, which nobody passes", hint)


def _before_binding(hooks: dict[str, Hook]) -> schema.Binding | None:
    before = hooks.get("before_predict")
    return None if before is None else schema.bind(before.call)


def _wire(before: schema.Binding | None, predict: schema.Binding) -> schema.Binding:
    """What binds a client's body: before_predict if it declares fields, anything if it does not."""
    if before is None or predict.kind == "bytes":
        return predict
    return before if before.names else schema.bind(_anything)


def _anything(body: Any) -> None:
    """A signature that every JSON body fits."""


def _check_stream(*, streams: bool, batched: bool, hooks: dict[str, Hook]) -> None:
    if streams and batched:
        raise StartupError(
            "predict is a generator, and serve.batch.max_size is above 1",
            "a stream has its slot alone: set it to 1",
        )
    if streams and "after_predict" in hooks:
        hint = (
            "change each item in predict itself, or use after_response, which gets the list of them"
        )
        raise StartupError("predict is a generator, so after_predict has no result to change", hint)


def _refuse_lookalikes(cls: type) -> None:
    """`before_predicts` or `unlod` would silently never run."""
    known = (*_MAY_ASK, "predict")
    for name in vars(cls):
        close = difflib.get_close_matches(name, known, 1, 0.9)
        if callable(getattr(cls, name)) and name not in known and close:
            raise StartupError(
                f"{cls.__name__}.{name} would never be called", f"did you mean {close[0]}?"
            )


def _example(value: Any) -> Example | None:
    """JSON data, bytes, or a path to a file whose suffix tells its type."""
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray)):
        return Example(BINARY, bytes(value))
    if isinstance(value, Path):
        return _example_file(value)
    try:
        body = codec.encode(value)
    except TypeError as error:
        raise StartupError(
            f"`example` cannot be sent as JSON: {error}", "use JSON data, bytes or a pathlib.Path"
        ) from None
    return Example(JSON, body, value)


def _example_file(path: Path) -> Example:
    if not path.is_file():
        raise StartupError(
            f"`example` is the file {path}, which does not exist",
            "write it relative to Path(__file__).parent",
        )
    return Example(mimetypes.guess_type(path.name)[0] or BINARY, path.read_bytes())


def _suggest(name: str, known: list[str], lead: str) -> str:
    if not known:
        return f"{lead} none"
    return f"{lead} {', '.join(known)}" + _closest(name, known)


def _closest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1, _LIKELY_TYPOS)
    return f"; did you mean {close[0]}?" if close else ""


def _say(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
