"""`serve.compile`: a PyTorch module as one call that runs without the interpreter.

Every operation of an eager module gives up the GIL and takes it again; a busy hub makes each of
these wait (a MiniLM took 2.4 times as long). A compiled graph takes it once. What is compiled is
used only if it answers as the module does, on the example and on what tracing is known to get
wrong: more rows, longer rows, rows with padding.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc_runtime.settings import Compile

    Tensor = Any  # torch is the function's, not ours: checkers cannot see it
    Arguments = tuple[tuple[Any, ...], dict[str, Any]]
    Compiler = Callable[[Any, "Arguments"], Any]

# Of the largest number in the output, by the bits of its type.
_TOLERANCE = {64: 1e-6, 32: 1e-4, 16: 2e-2}
_MATRIX = 2
_log = logging.getLogger("mlfunc")


class Unequal(Exception):
    """The compiled module answers otherwise than the eager one."""


class Compiled:
    """Calls what was compiled; everything else (`device`, `config`) is the module's own."""

    def __init__(self, module: Any, call: Callable[..., Any]) -> None:
        self._module = module
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def compiled(module: Any, mode: Compile, example: Arguments) -> Any:
    """The module compiled as `mode` says, or itself where that fails or changes its answers.

    Raises:
        StartupError: there is no PyTorch.

    """
    if mode == "none":
        return module
    torch = _installed(mode)

    module.eval()
    try:
        # What tracing warns of is what the probes look for.
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            call = _COMPILERS[mode](module, example)
            error = max(_errors(module, call, example))
    except Exception as failed:
        reason = f"{type(failed).__name__}: {' '.join(str(failed).split())[:300]}"
        _log.warning("serve.compile: %s: the module stays eager: %s", mode, reason)
        return module
    _log.info("serve.compile: %s: answers as eager does, to %.1g", mode, error)
    return Compiled(module, call)


def _trace(module: Any, example: Arguments) -> Callable[..., Any]:
    """A dict of outputs, as transformers have it, comes back as its own class."""
    torch = _torch()

    args, kwargs = example
    if args and kwargs:
        message = "tracing takes the example's inputs by position or by name, not both"
        raise TypeError(message)
    inputs = {"example_kwarg_inputs": kwargs} if kwargs else {"example_inputs": args}
    kind = type(module(*args, **kwargs))
    traced = torch.jit.trace(module, **inputs, strict=False, check_trace=False)
    frozen: Callable[..., Any] = torch.jit.freeze(traced)
    if not issubclass(kind, Mapping):
        return frozen
    return lambda *args, **kwargs: kind(**frozen(*args, **kwargs))


def _inductor(module: Any, example: Arguments) -> Callable[..., Any]:  # noqa: ARG001 - a row
    inductor: Any = import_module("torch._inductor.config")

    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        message = f"inductor needs a C++ compiler, and {compiler} is not installed"
        raise FileNotFoundError(message)
    # Its pool of compiling processes would be forked from one with a hub and threads.
    inductor.compile_threads = 1
    call: Callable[..., Any] = _torch().compile(module, dynamic=True)
    return call


_COMPILERS: dict[str, Compiler] = {"trace": _trace, "inductor": _inductor}


def _installed(mode: Compile) -> Any:
    try:
        return _torch()
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        told = f"serve.compile: {mode} is for modules of PyTorch, which is not installed"
        raise StartupError(told, "add torch to requirements.txt, or remove serve.compile") from None


def _torch() -> Any:
    return import_module("torch")


def _errors(module: Any, call: Callable[..., Any], example: Arguments) -> Iterator[float]:
    """The largest relative error of the example, and of each probe that the module itself takes."""
    yield _error(module, call, example)
    for args, kwargs in _probes(example):
        try:
            module(*args, **kwargs)
        except Exception:  # noqa: S112 - longer than the model reads, say
            continue
        yield _error(module, call, (args, kwargs))


def _error(module: Any, call: Callable[..., Any], inputs: Arguments) -> float:
    args, kwargs = inputs
    expected, found = (_tensors(f(*args, **kwargs)) for f in (module, call))
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (expected, found)]
    if shapes[0] != shapes[1]:
        raise Unequal(f"shapes {shapes[1]} instead of {shapes[0]}")
    worst = 0.0
    for wanted, got in zip(expected, found, strict=True):
        exact = wanted.double()
        error = float((exact - got.double()).abs().max()) / max(1.0, float(exact.abs().max()))
        limit = _TOLERANCE[wanted.element_size() * 8] if wanted.is_floating_point() else 0.0
        if not error <= limit:  # a NaN is no good either
            raise Unequal(f"an error of {error:.2g} for {tuple(wanted.shape)}, above {limit:g}")
        worst = max(worst, error)
    return worst


def _tensors(output: Any) -> list[Tensor]:
    """All tensors of a result, in order."""
    torch = _torch()

    if isinstance(output, torch.Tensor):
        return [output] if output.numel() else []
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [tensor for part in output for tensor in _tensors(part)]
    return []


def _probes(example: Arguments) -> Iterator[Arguments]:
    """Twice the example's rows; those twice as long; half of those padded by half."""
    yield _changed(example, lambda _, tensor: _repeat(tensor, 0))
    yield _changed(example, lambda _, tensor: _repeat(_lengthen(tensor), 0))
    yield _changed(example, lambda name, tensor: _pad(name, _repeat(_lengthen(tensor), 0)))


def _changed(example: Arguments, change: Callable[[str, Tensor], Tensor]) -> Arguments:
    torch = _torch()

    def of(name: str, value: Any) -> Any:
        changes = isinstance(value, torch.Tensor) and value.dim() > 0
        return change(name, value) if changes else value

    args, kwargs = example
    return tuple(of("", value) for value in args), {k: of(k, v) for k, v in kwargs.items()}


def _lengthen(tensor: Tensor) -> Tensor:
    """Rows of integers are tokens, or say which of them count."""
    tokens = tensor.dim() == _MATRIX and not tensor.is_floating_point()
    return _repeat(tensor, 1) if tokens else tensor


def _repeat(tensor: Tensor, dimension: int) -> Tensor:
    return _torch().cat([tensor, tensor], dimension)


def _pad(name: str, tensor: Tensor) -> Tensor:
    if "mask" not in name or tensor.dim() != _MATRIX:
        return tensor
    padded = tensor.clone()
    padded[len(padded) // 2 :, padded.shape[1] // 2 :] = 0
    return padded
