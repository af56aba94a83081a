"""CloudEvents: an event in, an event out, or an empty 204; never bare JSON, which a broker would
deliver again and again.

Source: CloudEvents 1.0.2, HTTP protocol binding; what a broker makes of a reply: Knative Eventing,
data plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

from mlfunc_runtime import codec
from mlfunc_runtime.messages import BINARY, Reply
from mlfunc_runtime.protocols import cloudevents
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent

    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.protocols import Run
    from mlfunc_runtime.schema import Binding


def answer(request: Request, pipeline: Run) -> Reply:
    """Decode, run, encode: one event, or all events of a batch side by side."""
    if cloudevents.mode(request.headers) == "batch":
        return _answer_batch(request, cloudevents.decode(request.headers, request.body), pipeline)
    reply = _run(request, pipeline)
    if reply is None:
        return Reply(status=204)
    structured = request.accepts(cloudevents.STRUCTURED_TYPE)
    return _message(
        (cloudevents.encode_structured if structured else cloudevents.encode_binary)(
            reply, codec.encode
        )
    )


def decode(request: Request, binding: Binding) -> dict[str, Any]:
    """The event's data as arguments; without data, none but those that have defaults."""
    event = _event_of(request)
    data = event.get_data()
    arguments = (
        binding.from_text(data)
        if isinstance(data, str) and not _is_json(event)
        else binding.from_data(_present(data, binding))
    )
    request.data = arguments[binding.names[0]] if binding.kind in ("body", "bytes") else arguments
    return arguments


def _answer_batch(request: Request, events: list[CloudEvent], pipeline: Run) -> Reply:
    """All must succeed: a sender can only deliver the whole batch again."""
    jobs = [gevent.spawn(_attempt, request.for_event(event), pipeline) for event in events]
    gevent.joinall(jobs)
    outcomes = [job.value for job in jobs]
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return _message(
        cloudevents.encode_batch([event for event in outcomes if event is not None], codec.encode)
    )


def _attempt(request: Request, pipeline: Run) -> CloudEvent | BaseException | None:
    try:
        return _run(request, pipeline)
    except (Exception, SystemExit) as error:
        return error


def _run(request: Request, pipeline: Run) -> CloudEvent | None:
    """The event that answers; None when the predictor returned nothing."""
    event = _event_of(request)
    arguments = decode(request, pipeline.predictor.wire)
    result = pipeline.run(request, arguments)
    if isinstance(result, Stream):
        result = list(result)
    if result is None or isinstance(result, _event_class()):
        event_or_none: CloudEvent | None = result
        return event_or_none
    if isinstance(result, Reply):
        raise TypeError(
            "an event cannot be answered with a Reply; return data, a CloudEvent or None"
        )
    settings = pipeline.settings
    return cloudevents.reply_to(
        event, result, type=settings.reply_type, source=f"/mlfunc/{settings.name}"
    )


def _message(message: cloudevents.Message) -> Reply:
    headers, body = dict(message[0]), message[1]
    return Reply(body, content_type=headers.pop("content-type", BINARY), headers=headers)


def _event_of(request: Request) -> CloudEvent:
    if request.event is None:
        (request.event,) = cloudevents.decode(request.headers, request.body)
    return request.event


def _event_class() -> type[CloudEvent]:
    from cloudevents.core.v1.event import CloudEvent

    return CloudEvent


def _is_json(event: CloudEvent) -> bool:
    content_type = (
        (event.get_datacontenttype() or "application/json").partition(";")[0].strip().lower()
    )
    return content_type == "application/json" or content_type.endswith("+json")


def _present(data: Any, binding: Binding) -> Any:
    return {} if data is None and binding.kind == "fields" else data
