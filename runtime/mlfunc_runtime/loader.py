"""Find the user's predictor, check every way it can be missing or wrong, and describe it as plain
data.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import codec, methods, schema
from mlfunc_runtime.errors import SettingsError, StartupError
from mlfunc_runtime.messages import BINARY, JSON

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from mlfunc_runtime.methods import Collate, Hook
    from mlfunc_runtime.settings import Settings


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
    knows what the wire looks like. `needs_event`: a plain request is not enough.
    `size` tells how much a request weighs. `is_async`: some method is `async def`.
    """

    name: str
    description: str
    predict: Callable[..., Any]
    binding: schema.Binding
    wire: schema.Binding
    trusts_before: bool
    needs_event: bool
    is_async: bool
    output: Any
    streams: bool
    batch: int
    hooks: dict[str, Hook]
    size: Hook | None
    collate: Collate | None
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
    hooks = methods.hooks(instance)
    collate = methods.collate(instance, predict, batched=batched)
    binding = _binding(predict, collate, batched=batched)
    size = methods.size(instance, binding)
    before = _before_binding(hooks)
    streams = schema.streams(predict)
    _check_stream(streams=streams, batched=batched, hooks=hooks)
    methods.refuse_lookalikes(cls)
    return Predictor(
        name=settings.predictor,
        description=inspect.cleandoc(cls.__doc__ or ""),
        predict=predict,
        binding=binding,
        wire=_wire(before, binding),
        trusts_before=before is not None and not before.names,
        needs_event=binding.needs_event or (before is not None and before.needs_event),
        is_async=any(inspect.iscoroutinefunction(inspect.unwrap(h.call)) for h in hooks.values()),
        output=schema.output_type(predict, batched=batched),
        streams=streams,
        batch=settings.batch,
        hooks=hooks,
        size=size,
        collate=collate,
        example=_example(methods.own(instance, "example")),
    )


def _import_file(folder: Path, file: str) -> ModuleType:
    path = folder / file
    if not path.is_file():
        others = [str(p.relative_to(folder)) for p in sorted(folder.glob("*.py"))]
        raise StartupError(
            f"predictor file {file} does not exist in {folder}", _suggest(file, others, "there are")
        )
    for place in (str(folder), str(path.parent)):
        if place not in sys.path:
            sys.path.insert(0, place)
    module_name = ".".join(Path(file).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise StartupError(f"predictor file {file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _import_failed(folder, file, error) from error
    return module


def _import_failed(folder: Path, file: str, error: BaseException) -> StartupError:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return StartupError(f"{file} cannot be imported: {_say(error)}")
    package = error.name.partition(".")[0]
    if (folder / file).with_name(f"{package}.py").exists():
        return StartupError(f"{file} cannot be imported: {_say(error)}")
    hint = f"add the package that has {package} to requirements.txt"
    return StartupError(f"{file} needs {error.name}, which is not installed", hint)


def _make(cls: type) -> Any:
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in _init_parameters(cls) if p.default is p.empty and p.kind not in optional]
    if required:
        names = ", ".join(p.name for p in required)
        hint = "a predictor is made without arguments; use load(self, context)"
        raise StartupError(f"{cls.__name__}() needs {names}", hint)
    try:
        return cls()
    except (Exception, SystemExit) as error:
        raise StartupError(f"{cls.__name__}() raised {_say(error)}") from error


def _init_parameters(cls: type) -> list[inspect.Parameter]:
    """None are known of a class that C makes, such as a subclass of dict."""
    try:
        return list(inspect.signature(cls).parameters.values())
    except ValueError:
        return []


def _predict_of(cls: type, instance: Any) -> Callable[..., Any]:
    predict = methods.own(instance, "predict")
    if predict is None:
        public = [name for name in vars(cls) if not name.startswith("_")]
        raise StartupError(
            f"{cls.__name__} has no method predict", _suggest("predict", public, "it has")
        )
    if not callable(predict):
        raise StartupError(f"{cls.__name__}.predict is no method but {type(predict).__name__}")
    plain = inspect.unwrap(predict)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        hint = (
            "make it `def`, it has a thread of its own; IO belongs in before_predict (async or not)"
        )
        raise StartupError(f"{cls.__name__}.predict is `async def`", hint)
    found: Callable[..., Any] = predict
    return found


def _binding(
    predict: Callable[..., Any], collate: Collate | None, *, batched: bool
) -> schema.Binding:
    """What requests are bound to is what gets their columns first."""
    if collate is None:
        return schema.bind(predict, batched=batched)
    binding = schema.bind(collate.call, batched=batched)
    injected = tuple(dict.fromkeys(binding.injected + collate.passed_on))
    needs_event = binding.needs_event or schema.needs_event(predict)
    return dataclasses.replace(binding, injected=injected, needs_event=needs_event)


def _before_binding(hooks: dict[str, Hook]) -> schema.Binding | None:
    before = hooks.get("before_predict")
    return None if before is None else schema.bind(before.call)


def _wire(before: schema.Binding | None, predict: schema.Binding) -> schema.Binding:
    """What binds a client's body: before_predict's fields; if it has none, it takes what comes."""
    if before is None:
        return predict
    return predict if predict.kind == "bytes" and not before.names else before


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
    return f"{lead} {', '.join(known)}" + methods.closest(name, known)


def _say(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
