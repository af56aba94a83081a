"""Work that could not be done, as CloudEvents to a sink: what is needed to do it by hand, or again.

| member of `data` | holds |
|---|---|
| `hook`, `reason`, `attempts` | what was not done, why, how often it was tried |
| `request` | `id`, `method`, `path`, `query`, `content_type`, and `body` (JSON) or `body_base64` |
| `event` | the event that was answered, in the JSON format, if it was one |
| `result` or `result_base64` | what the hook would have got, if it can be written down |

No header of the request but its content type is in it: headers hold credentials.
"""

from __future__ import annotations

import base64
import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import gevent
import orjson
from gevent.event import Event
from gevent.timeout import Timeout

from mlfunc_runtime import codec, logs
from mlfunc_runtime.messages import Reply
from mlfunc_runtime.protocols import cloudevents
from mlfunc_runtime.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.metrics import Metrics
    from mlfunc_runtime.work import Work

EVENT_TYPE = "dev.mlfunc.hook.undone"
_NAMESPACE = UUID("5d0d8f0a-6a34-5c19-9f2e-0d2a3c1b7e44")
_AT_ONCE = 8
_TRIES = 2
_SECONDS = 2.0  # for one try
_LAST_WORDS = 1.0  # seconds for those that are cut off to be told of


class DeadLetters:
    """Letters on their way to the sink, a few at once. All methods run on the hub."""

    def __init__(self, url: str | None, name: str, metrics: Metrics) -> None:
        self._url = url
        self._source = f"/mlfunc/{name}"
        self._metrics = metrics
        self._sending: dict[Work, gevent.Greenlet] = {}
        self._stage = Stage(_AT_ONCE)
        self._idle = Event()
        self._idle.set()
        self._closed = False

    def __contains__(self, work: Work) -> bool:
        """Whether it is on its way."""
        return work in self._sending

    def send(self, work: Work, hook: str, reason: str, then: Callable[[bool], None]) -> None:
        """Send it if there is a sink; `then` hears whether the sink took it. Returns at once."""
        if self._url is None or self._closed:
            then(False)
            return
        greenlet = gevent.Greenlet(self._deliver, self._url, work, hook, reason)
        greenlet.link(lambda done: self._over(work, hook, done.value, then))
        self._sending[work] = greenlet
        self._idle.clear()
        greenlet.start()

    def close(self, deadline: float) -> None:
        """Wait for the letters until `deadline` (time.monotonic); the others are lost, and told."""
        self._idle.wait(max(0.0, deadline - time.monotonic()))
        self._closed = True
        gevent.killall(list(self._sending.values()), block=False)
        self._idle.wait(_LAST_WORDS)

    def _deliver(self, url: str, work: Work, hook: str, reason: str) -> str:
        """What went wrong; nothing if the sink took it."""
        try:
            with self._stage:
                return _post_twice(url, write(work, hook, reason, source=self._source))
        except Exception as error:
            return _say(error)

    def _over(self, work: Work, hook: str, outcome: object, then: Callable[[bool], None]) -> None:
        """A link of the greenlet, so that it is heard of whatever became of it."""
        failure = outcome if isinstance(outcome, str) else "there was no more time"
        self._metrics.dead_letters["failed" if failure else "sent"] += 1
        fields = {"request_id": work.request.id, "payload": letter_id(work.request, hook)}
        if failure:
            told = f"{hook} is lost, the dead letters did not take it: {failure}"
            logs.event(told, level=logging.ERROR, **fields)
        else:
            logs.event(f"{hook} is in the dead letters", level=logging.WARNING, **fields)
        del self._sending[work]
        if not self._sending:
            self._idle.set()
        then(not failure)


def letter_id(request: Request, hook: str) -> str:
    """The same for the same hook of the same event, or of the same request: who gets it twice can
    tell.
    """
    event = request.event
    of = f"{event.get_source()}\n{event.get_id()}" if event is not None else request.id
    return str(uuid5(_NAMESPACE, f"{hook}\n{of}"))


def write(work: Work, hook: str, reason: str, *, source: str) -> bytes:
    """The letter, in the JSON format of CloudEvents 1.0.2."""
    request = work.request
    data: dict[str, Any] = {
        "hook": hook,
        "reason": reason.encode("utf-8", "backslashreplace").decode(),
        "attempts": work.attempts,
        "request": {
            "id": request.id,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "content_type": request.headers.get("content-type", ""),
            **_body(request.body),
        },
        **_event(request),
        **_result(work),
    }
    envelope = {
        "specversion": "1.0",
        "id": letter_id(request, hook),
        "source": source,
        "type": EVENT_TYPE,
        "subject": request.id,
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return codec.encode(envelope)


def _body(body: bytes) -> dict[str, Any]:
    """JSON as it came; anything else in base64."""
    if not body:
        return {}
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
    return {"body": orjson.Fragment(body)}


def _event(request: Request) -> dict[str, Any]:
    if request.event is None:
        return {}
    try:
        _, body = cloudevents.encode_structured(request.event, codec.encode)
    except (TypeError, ValueError):  # a hook has changed it
        return {"event": {"id": request.event.get_id(), "source": request.event.get_source()}}
    return {"event": orjson.Fragment(body)}


def _result(work: Work) -> dict[str, Any]:
    result = work.result()
    if isinstance(result, Reply):
        result = result.body
    if isinstance(result, (bytes, bytearray)):
        return {"result_base64": base64.b64encode(result).decode()}
    try:
        return {"result": orjson.Fragment(codec.encode(result))}
    except (TypeError, ValueError):
        return {}


def _post_twice(url: str, body: bytes) -> str:
    failure = ""
    for _ in range(_TRIES):
        limit = Timeout(_SECONDS)
        try:
            with limit:
                failure = _post(url, body)
        except (Exception, Timeout) as error:
            failure = "no answer in time" if error is limit else _say(error)
        if not failure:
            break
    return failure


def _post(url: str, body: bytes) -> str:
    """What the sink has against it; nothing when it answers with 2xx."""
    from http.client import HTTPConnection, HTTPSConnection

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": f"{cloudevents.STRUCTURED_TYPE}; charset=utf-8"}
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    taken = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    return "" if taken else f"the sink answered {status}"


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
