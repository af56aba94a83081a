"""CloudEvents: an event in, an event out, or an empty 204; never bare JSON, which a broker would
deliver again and again.

Source: CloudEvents 1.0.2, HTTP protocol binding; what a broker makes of a reply: Knative Eventing,
data plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

from mlfunc_runtime import codec, logs
from mlfunc_runtime.errors import Problem
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
        return _answer_batch(request, pipeline)
    reply = _run(request, pipeline)
    if reply is None:
        return Reply(status=204)
    structured = request.accepts(cloudevents.STRUCTURED_TYPE)
    encode = cloudevents.encode_structured if structured else cloudevents.encode_binary
    return _message(encode(reply, codec.encode))


def decode(request: Request, binding: Binding) -> dict[str, Any]:
    """The event's data as arguments; without data, none but those that have defaults."""
    event = _event_of(request)
    arguments = _arguments(request, event, binding)
    if binding.kind == "fields":
        request.data = arguments
    else:
        request.data = arguments[binding.names[0]] if binding.names else event.get_data()
    return arguments


def _arguments(request: Request, event: CloudEvent, binding: Binding) -> dict[str, Any]:
    data = event.get_data()
    if binding.kind == "bytes" and cloudevents.mode(request.headers) == "binary":
        return binding.from_body(request.body)
    if data is None and binding.kind in ("fields", "nothing"):
        return binding.from_data({})
    if cloudevents.is_text(event):
        return binding.from_text(str(data))
    return binding.from_data(data)


def _answer_batch(request: Request, pipeline: Run) -> Reply:
    """All must succeed: a sender can only deliver the whole batch again."""
    events = cloudevents.decode(request.headers, request.body)
    limit = pipeline.settings.admitted
    if len(events) > limit:
        raise Problem(413, f"a batch of {len(events)} events; this function takes {limit} at once")
    request.begun = True  # what of it was done would be done again
    outcomes = _run_all([request.for_event(event) for event in events], pipeline)
    replies = [event for event in outcomes if event is not None]
    if not replies:
        return Reply(status=204)
    return _message(cloudevents.encode_batch(replies, codec.encode))


def _run_all(requests: list[Request], pipeline: Run) -> list[CloudEvent | None]:
    jobs = [gevent.spawn(_attempt, request, pipeline) for request in requests]
    try:
        gevent.joinall(jobs)
    except BaseException:
        gevent.killall(jobs, block=False)
        raise
    return [_value_of(job.value) for job in jobs]


def _attempt(request: Request, pipeline: Run) -> CloudEvent | BaseException | None:
    """An exception is a value here: a greenlet that ends with one is reported by gevent."""
    logs.request_id.set(request.id)
    try:
        return _run(request, pipeline)
    except (Exception, SystemExit) as error:
        return error


def _value_of(outcome: CloudEvent | BaseException | None) -> CloudEvent | None:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _run(request: Request, pipeline: Run) -> CloudEvent | None:
    """The event that answers; None when the predictor returned nothing."""
    event = _event_of(request)
    result = pipeline.run(request, decode(request, pipeline.predictor.wire))
    if isinstance(result, Stream):
        result = list(result)
    if result is None or isinstance(result, cloudevents.event_class()):
        own: CloudEvent | None = result
        return own
    if isinstance(result, Reply):
        message = "an event cannot be answered with a Reply; return data, a CloudEvent or None"
        raise TypeError(message)
    settings = pipeline.settings
    source = f"/mlfunc/{settings.name}"
    return cloudevents.reply_to(event, result, type=settings.reply_type, source=source)


def _message(message: cloudevents.Message) -> Reply:
    headers, body = dict(message[0]), message[1]
    return Reply(body, content_type=headers.pop("content-type", BINARY), headers=headers)


def _event_of(request: Request) -> CloudEvent:
    if request.event is None:
        (request.event,) = cloudevents.decode(request.headers, request.body)
    return request.event
