"""Calls of `predict` in a slot's thread: one request, or a batch.

An exception is an outcome like any other; it is raised where the request waits.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Set
from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from mlfunc_runtime import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batches import Item, Run
    from mlfunc_runtime.collating import Prepare
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.methods import Collate

    # What a generator becomes as an outcome.
    Opens = Callable[[Iterator[Any]], Any]

_log = logging.getLogger("mlfunc")


def make(predictor: Predictor, opens: Opens) -> Run:
    """How this predictor's batches are run."""
    if predictor.batch > 1:
        return batched(predictor.predict, predictor.collate)
    kinds = (GeneratorType, Iterator) if predictor.streams else (GeneratorType,)
    return one(predictor.predict, opens, kinds)


def ahead(predictor: Predictor, isolation: str) -> Prepare | None:
    """How its next batch is collated while the model runs, if it is, and the model runs here."""
    if predictor.collate is None or isolation != "thread":
        return None
    return collated(predictor.predict, predictor.collate)


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
            return [as_outcome(error)]
        if isinstance(result, stream_kinds):
            return [opens(cast("Iterator[Any]", result))]
        return [result]

    return call


def batched(predict: Callable[..., Any], collate: Collate | None = None) -> Run:
    """Each argument becomes a list of what the requests sent; as many results come back.

    When `predict` raises, each request is tried once more by itself: a bad one fails alone.
    """
    if collate is not None:
        prepare = collated(predict, collate)
        return lambda batch: prepare(batch)(batch)

    def call(batch: Sequence[Item]) -> Sequence[Any]:
        return _attempt(lambda: predict(**_columns(batch)), batch, call)

    return call


def collated(predict: Callable[..., Any], collate: Collate) -> Prepare:
    """The same in two steps: `collate` now, and `predict` when what comes back is called."""

    def prepare(batch: Sequence[Item]) -> Run:
        logs.request_id.set("")
        try:
            arguments = collate.arguments(_columns(batch))
        except BaseException as raised:
            error = raised
            return lambda batch: _one_by_one(again, batch, error)
        return lambda batch: _attempt(lambda: predict(**arguments), batch, again)

    def again(batch: Sequence[Item]) -> Sequence[Any]:
        return prepare(batch)(batch)

    return prepare


def _attempt(predict: Callable[[], Any], batch: Sequence[Item], again: Run) -> Sequence[Any]:
    logs.request_id.set("")
    try:
        results = _no_coroutine(predict())
    except BaseException as error:
        return _one_by_one(again, batch, error)
    try:
        return _one_each(results, len(batch))
    except BaseException as error:
        return [as_outcome(error)] * len(batch)


def _columns(batch: Sequence[Item]) -> dict[str, list[Any]]:
    return {name: [item.arguments[name] for item in batch] for name in batch[0].arguments}


def _one_by_one(again: Run, batch: Sequence[Item], error: BaseException) -> list[Any]:
    if len(batch) == 1:
        return [as_outcome(error)]
    told = "predict raised %s on a batch of %d: they run one by one"
    _log.warning(told, type(error).__name__, len(batch))
    outcomes: list[Any] = []
    for item in batch:
        outcomes += [as_outcome(error)] if item.request.cancelled else again([item])
    return outcomes


def as_outcome(error: BaseException) -> Exception:
    """What was raised, to be raised again where the request waits.

    A request ends with what its predictor raised; the process does not, even on `exit()`.
    """
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
