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
    from mlfunc_runtime.protocols.cloudevents import Message
    from mlfunc_runtime.redelivery import Key
    from mlfunc_runtime.schema import Binding


def answer(request: Request, pipeline: Run) -> Reply:
    """Decode, run, encode: one event, or all events of a batch side by side."""
    request.remembered = pipeline.settings.remember > 0
    if cloudevents.mode(request.headers) == "batch":
        return _answer_batch(request, pipeline)
    message = _run(request, pipeline, structured=request.accepts(cloudevents.STRUCTURED_TYPE))
    return Reply(status=204) if message is None else _reply(message)


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
    pipeline.widen(request, len(events))
    request.begun = True  # what of it was done would be done again
    outcomes = _run_all([request.for_event(event) for event in events], pipeline)
    bodies = [message[1] for message in outcomes if message is not None]
    if not bodies:
        return Reply(status=204)
    return _reply(cloudevents.encode_batch(bodies))


def _run_all(requests: list[Request], pipeline: Run) -> list[Message | None]:
    jobs = [gevent.spawn(_attempt, request, pipeline) for request in requests]
    try:
        gevent.joinall(jobs)
    except BaseException:
        gevent.killall(jobs, block=False)
        raise
    return [_value_of(job.value) for job in jobs]


def _attempt(request: Request, pipeline: Run) -> Message | BaseException | None:
    """An exception is a value here: a greenlet that ends with one is reported by gevent, and some
    (KeyboardInterrupt) end the process.
    """
    logs.request_id.set(request.id)
    try:
        return _run(request, pipeline, structured=True)
    except BaseException as error:
        return error


def _value_of(outcome: Message | BaseException | None) -> Message | None:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _run(request: Request, pipeline: Run, *, structured: bool) -> Message | None:
    """The event that answers; None when the predictor returned nothing."""
    event = _event_of(request)
    key = (str(event.get_source()), str(event.get_id()))
    message = pipeline.redelivery.once(key, lambda: _predict(request, pipeline, key, structured))
    return _in_mode(message, structured=structured)


def _predict(request: Request, pipeline: Run, key: Key, structured: bool) -> Message | None:
    """Encoded at once: what cannot be encoded has failed, is not remembered, and leaves no hook to
    run, for it comes again.

    Its hooks are gathered in a list of its own: the events of a batch share the other one.
    """
    hooks, request.when_sent = request.when_sent, []
    try:
        result = pipeline.run(request, decode(request, pipeline.predictor.wire))
        message = _encode(result, request, pipeline, structured)
        for hook in request.when_sent:
            hook.lost = lambda: pipeline.redelivery.forget(key)
        hooks += request.when_sent
    finally:
        request.when_sent = hooks
    return message


def _encode(result: Any, request: Request, pipeline: Run, structured: bool) -> Message | None:
    if isinstance(result, Stream):
        result = list(result)
    if result is None:
        return None
    reply = _as_event(result, _event_of(request), pipeline)
    encode = cloudevents.encode_structured if structured else cloudevents.encode_binary
    return encode(reply, codec.encode)


def _as_event(result: Any, event: CloudEvent, pipeline: Run) -> CloudEvent:
    if isinstance(result, cloudevents.event_class()):
        own: CloudEvent = result
        return own
    if isinstance(result, Reply):
        message = "an event cannot be answered with a Reply; return data, a CloudEvent or None"
        raise TypeError(message)
    settings = pipeline.settings
    source = f"/mlfunc/{settings.name}"
    return cloudevents.reply_to(event, result, type=settings.reply_type, source=source)


def _in_mode(message: Message | None, *, structured: bool) -> Message | None:
    """The first delivery may have asked for the other mode."""
    if message is None or (_mode_of(message) == "structured") == structured:
        return message
    (reply,) = cloudevents.decode(dict(message[0]), message[1])
    encode = cloudevents.encode_structured if structured else cloudevents.encode_binary
    return encode(reply, codec.encode)


def _mode_of(message: Message) -> cloudevents.Mode | None:
    return cloudevents.mode(dict(message[0]))


def _reply(message: Message) -> Reply:
    headers, body = dict(message[0]), message[1]
    return Reply(body, content_type=headers.pop("content-type", BINARY), headers=headers)


def _event_of(request: Request) -> CloudEvent:
    if request.event is None:
        (request.event,) = cloudevents.decode(request.headers, request.body)
    return request.event
