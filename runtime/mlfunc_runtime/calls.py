"""Calls of `predict` in a slot's thread: one request, or a batch.

An exception is an outcome like any other; it is raised where the request waits.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Set
from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from mlfunc_runtime import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batcher import Item, Run
    from mlfunc_runtime.loader import Predictor

    # What a generator becomes as an outcome.
    Opens = Callable[[Iterator[Any]], Any]


def make(predictor: Predictor, opens: Opens) -> Run:
    """How this predictor's batches are run."""
    if predictor.batch > 1:
        return batched(predictor.predict)
    kinds = (GeneratorType, Iterator) if predictor.streams else (GeneratorType,)
    return one(predictor.predict, opens, kinds)


def one(
    predict: Callable[..., Any], opens: Opens, stream_kinds: tuple[type, ...] = (GeneratorType,)
) -> Run:
    """A batch of one: a generator becomes a stream."""

    def call(batch: Sequence[Item]) -> list[Any]:
        (item,) = batch
        logs.request_id.set(item.request.id)
        try:
            result = _no_coroutine(predict(**item.arguments))
        except BaseException as error:
            return [_as_outcome(error)]
        if isinstance(result, stream_kinds):
            return [opens(cast("Iterator[Any]", result))]
        return [result]

    return call


def batched(predict: Callable[..., Any]) -> Run:
    """Each argument becomes a list of what the requests sent; as many results come back."""

    def call(batch: Sequence[Item]) -> list[Any]:
        logs.request_id.set("")
        try:
            names = batch[0].arguments
            columns = {name: [item.arguments[name] for item in batch] for name in names}
            return _one_each(_no_coroutine(predict(**columns)), len(batch))
        except BaseException as error:
            return [_as_outcome(error)] * len(batch)

    return call


def _as_outcome(error: BaseException) -> Exception:
    """A request ends with what its predictor raised; the process does not, even on `exit()`."""
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"predict raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped


def _no_coroutine(result: Any) -> Any:
    """A decorator can hide that `predict` is `async def`."""
    if inspect.iscoroutine(result):
        result.close()
        message = "predict returned a coroutine, which nobody runs: make it `def`"
        raise TypeError(message)
    return result


def _one_each(results: Any, size: int) -> list[Any]:
    """What has a length and an order will do: lists, arrays, tensors.

    Not text, and nothing with keys, be it a dict or a table: iterating it gives those.
    """
    keyed = isinstance(results, (Mapping, str, bytes, Set)) or hasattr(results, "keys")
    if keyed or not hasattr(results, "__len__"):
        kind = type(results).__name__
        message = f"predict returned {kind} for a batch of {size}, not a list of results"
        raise TypeError(message)
    rows = list(results)
    if len(rows) != size:
        message = f"predict returned {len(rows)} results for a batch of {size}"
        raise ValueError(message)
    return rows
