"""Calls of `predict` in a slot's thread: one request, or a batch.

An exception is an outcome like any other; it is raised where the request waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import logs
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batcher import Item, Run
    from mlfunc_runtime.executor import Mailbox
    from mlfunc_runtime.loader import Predictor


def make(predictor: Predictor, mailbox: Mailbox) -> Run:
    """How this predictor's batches are run."""
    if predictor.batch > 1:
        return batched(predictor.predict)
    return one(predictor.predict, mailbox)


def one(predict: Callable[..., Any], mailbox: Mailbox) -> Run:
    """A batch of one: a generator becomes a stream."""

    def call(batch: Sequence[Item]) -> list[Any]:
        (item,) = batch
        logs.request_id.set(item.request.id)
        try:
            result = predict(**item.arguments)
        except BaseException as error:
            return [_as_outcome(error)]
        return [Stream(result, mailbox) if isinstance(result, GeneratorType) else result]

    return call


def batched(predict: Callable[..., Any]) -> Run:
    """Each argument becomes a list of what the requests sent; as many results come back."""

    def call(batch: Sequence[Item]) -> list[Any]:
        names = batch[0].arguments
        columns = {name: [item.arguments[name] for item in batch] for name in names}
        try:
            return _one_each(predict(**columns), len(batch))
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


def _one_each(results: Any, size: int) -> list[Any]:
    """What has a length and an order will do: lists, arrays, tensors; no mapping, no text."""
    if not hasattr(results, "__len__") or isinstance(results, (Mapping, str, bytes, Set)):
        kind = type(results).__name__
        raise Problem(500, f"predict returned {kind} for a batch of {size}, not a list of results")
    if len(results) != size:
        raise Problem(500, f"predict returned {len(results)} results for a batch of {size}")
    return list(results)
