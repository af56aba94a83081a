"""What is answered where: predictions and health here, the rest by Flask, which is imported when it
is first needed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from mlfunc_runtime import codec, metrics, wsgi
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.messages import JSON, Reply, Request
from mlfunc_runtime.replies import problem

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from mlfunc_runtime.function import Function

_LIVENESS = "/health/liveness"
_HEALTH = (_LIVENESS, "/health/readiness")


class Routes:
    """The routes of one function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.sent = function.sent

    @functools.cached_property
    def _rest(self) -> WSGIApplication:
        from mlfunc_runtime.app import create_app

        return create_app(self.function)

    def answer(self, request: Request) -> Reply:
        """The reply; `sent` must be called when it is out."""
        path, method = request.path, request.method
        if path == "/" and method == "POST":
            return self.function.handle(request)
        if path in _HEALTH and method in ("GET", "HEAD"):
            return self._health(path)
        return wsgi.call(self._rest, request)

    def _health(self, path: str) -> Reply:
        """Answered by the hub, whatever the slots do.

        Liveness: the hub turns, and not each slot is stuck. Readiness: predictions are served.
        """
        state = self.function.state
        if path == _LIVENESS and state != "stuck":
            return _json(200, {"status": "alive"})
        return _json(200 if state == "ready" else 503, {"status": state})


class MetricsRoutes:
    """The routes of the port for metrics, which no ingress shows."""

    def __init__(self, function: Function) -> None:
        self._metrics = function.metrics

    def answer(self, request: Request) -> Reply:
        """The reply."""
        if request.path != "/metrics":
            return problem(Problem(404, f"{request.path}: there is /metrics"), request)
        return Reply(self._metrics.render(), content_type=metrics.CONTENT_TYPE)

    def sent(self, request: Request, reply: Reply) -> None:
        """Scrapes are not counted."""


def _json(status: int, value: object) -> Reply:
    return Reply(codec.encode(value), status=status, content_type=JSON)
