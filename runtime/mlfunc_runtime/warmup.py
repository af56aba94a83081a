"""The warm-up: one prediction with the predictor's `example`, the hooks around it included."""

from __future__ import annotations

import contextlib
import itertools
from http import HTTPStatus
from typing import TYPE_CHECKING

from mlfunc_runtime import logs, protocols
from mlfunc_runtime.errors import Problem, StartupError
from mlfunc_runtime.messages import Request
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc_runtime.loader import Example
    from mlfunc_runtime.pipeline import Pipeline

_ITEMS = 2  # of a stream


def predict_example(pipeline: Pipeline) -> None:
    """Predict `example`, if the predictor has one. Raises what user code raises."""
    predictor = pipeline.predictor
    if predictor.example is None:
        return
    logs.event("warming up with `example`", phase="warming")
    request = _request(predictor.example, needs_event=predictor.needs_event)
    arguments = protocols.of(request).decode(request, predictor.wire)
    result = pipeline.run(request, arguments)
    if isinstance(result, Stream):
        for _ in itertools.islice(result, _ITEMS):
            pass
        result.close()


@contextlib.contextmanager
def told_as_startup_error() -> Iterator[None]:
    """What a warm-up raises ends the start.

    Raises:
        StartupError: something was raised; that is its cause.

    """
    try:
        yield
    except StartupError:
        raise
    except Problem as refused:
        if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StartupError(f"the warm-up with `example` failed: {refused}") from refused
        hint = "`example` must be an input that before_predict and predict take"
        raise StartupError(f"`example` was refused: {refused}", hint) from refused
    except (Exception, SystemExit) as error:
        told = f"the warm-up with `example` raised {type(error).__name__}: {error}"
        raise StartupError(told) from error


def _request(example: Example, *, needs_event: bool) -> Request:
    headers = {"content-type": example.content_type}
    if needs_event:
        headers |= {
            "ce-specversion": "1.0",
            "ce-id": "warm-up",
            "ce-source": "/mlfunc/warm-up",
            "ce-type": "dev.mlfunc.warm-up",
        }
    return Request(example.body, headers)
