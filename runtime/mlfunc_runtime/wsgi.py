"""The WSGI application: predictions and health are answered here, the rest by Flask, which is
imported when it is first needed.
"""

from __future__ import annotations

import functools
import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from mlfunc_runtime import codec, metrics
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.messages import JSON, Reply, Request, StreamBody
from mlfunc_runtime.replies import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication
    from wsgiref.types import WSGIEnvironment as Environ

    from mlfunc_runtime.function import Function

_LIVENESS, _READINESS = _HEALTH = ("/health/liveness", "/health/readiness")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Application:
    """One callable for both ports; `metrics_port` tells them apart."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.metrics_port = 0

    @functools.cached_property
    def _rest(self) -> WSGIApplication:
        from mlfunc_runtime.app import create_app

        return create_app(self.function)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        if self.metrics_port and environ.get("SERVER_PORT") == str(self.metrics_port):
            request = _request(environ)
            return _send(self._metrics(request), request, start_response)
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method == "POST" and path == "/":
            return self._predict(environ, start_response)
        if path in _HEALTH and method in ("GET", "HEAD"):
            return _send(self._health(path), _request(environ), start_response)
        return self._flask(environ, start_response)

    def _predict(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = _request(environ)
        try:
            request.body = _read_body(environ, self.function.settings.max_body)
        except Problem as refused:
            _close_after(start_response)
            return _send(problem(refused, request), request, start_response)
        reply = self.function.handle(request)
        sent = _Sent(reply, lambda: self.function.sent(request, reply))
        try:
            timing = ("Server-Timing", request.timings.header())
            return sent.with_body(_send(reply, request, start_response, timing))
        except BaseException:
            sent.close()
            raise

    def _health(self, path: str) -> Reply:
        """Answered by the hub, whatever the slots do.

        Liveness: the hub turns. Readiness: predictions are served.
        """
        if path == _LIVENESS:
            return _json(200, {"status": "alive"})
        state = self.function.state
        return _json(200 if state == "ready" else 503, {"status": state})

    def _metrics(self, request: Request) -> Reply:
        if request.path != "/metrics":
            return problem(Problem(404, f"{request.path}: there is /metrics"), request)
        return Reply(self.function.metrics.render(), content_type=metrics.CONTENT_TYPE)

    def _flask(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["mlfunc.request_id"] = _request_id(environ)
        return self._rest(environ, start_response)


class _Sent:
    """A reply's body. The server closes it when the last byte is out, or the client is gone."""

    def __init__(self, reply: Reply, done: Callable[[], None]) -> None:
        self._body: Iterable[bytes] = ()
        self._reply = reply
        self._done = done

    def with_body(self, body: Iterable[bytes]) -> Self:
        """The same, with what is to be sent."""
        self._body = body
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        if isinstance(self._reply.body, StreamBody):
            self._reply.body.close()
        self._done()


def _request(environ: Environ) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if "CONTENT_TYPE" in environ:
        headers["content-type"] = environ["CONTENT_TYPE"]
    return Request(
        headers=headers,
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        query=environ.get("QUERY_STRING", ""),
        request_id=_request_id(environ),
    )


def _request_id(environ: Environ) -> str:
    """The caller's, if it fits in a header and a log line; else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _read_body(environ: Environ, limit: int) -> bytes:
    declared = int(environ.get("CONTENT_LENGTH") or -1)
    too_large = Problem(
        413, f"the body is larger than serve.max_body, {limit} bytes", field="Content-Length"
    )
    if declared > limit:
        raise too_large
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise too_large
    if declared >= 0 and len(body) != declared:
        raise Problem(
            400, f"the body has {len(body)} bytes instead of {declared}", field="Content-Length"
        )
    return body


def _close_after(start_response: StartResponse) -> None:
    """Part of the body is not read, so the connection is no good for another request.

    gunicorn ignores a Connection header of the application; its response object has a method.
    """
    response = getattr(start_response, "__self__", None)
    if response is not None:
        response.force_close()


def _json(status: int, value: object) -> Reply:
    return Reply(codec.encode(value), status=status, content_type=JSON)


def _send(
    reply: Reply, request: Request, start_response: StartResponse, *extra: tuple[str, str]
) -> Iterable[bytes]:
    """Start the response and return its body."""
    headers = [*reply.headers.items(), ("X-Request-Id", request.id), *extra]
    status = _STATUS.get(reply.status) or f"{reply.status} Status"
    if not isinstance(reply.body, bytes):
        start_response(status, headers)
        return reply.body
    start_response(status, [*headers, ("Content-Length", str(len(reply.body)))])
    return [] if request.method == "HEAD" else [reply.body]
