"""All routes but predictions and health: playground, description, OpenAPI, docs.

Flask: convenience over speed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request, send_from_directory
from werkzeug.exceptions import HTTPException

from mlfunc_runtime import codec
from mlfunc_runtime.description import describe, openapi
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.messages import JSON, PROBLEM

if TYPE_CHECKING:
    from mlfunc_runtime.function import Function

_PAGES = Path(__file__).parent / "pages"
_HTML = "text/html"


def create_app(function: Function) -> Flask:
    """The Flask application of one function."""
    app = Flask("mlfunc_runtime", static_folder=None)

    def root() -> Response:
        """A page for people, the description for programs."""
        wanted = request.accept_mimetypes.best_match([JSON, _HTML], default=JSON)
        reply = _page("playground.html") if wanted == _HTML else _json(describe(function))
        reply.headers["Vary"] = "Accept"
        return reply

    app.add_url_rule("/", view_func=root)
    app.add_url_rule("/openapi.json", "openapi", lambda: _json(openapi(function)))
    app.add_url_rule("/docs", "docs", lambda: _page("docs.html"))
    for path in ("/health/liveness", "/health/readiness"):  # GET is answered before Flask
        app.add_url_rule(path, path, lambda: _json({}))
    app.add_url_rule("/_mlfunc/<path:name>", "pages", _page)
    app.register_error_handler(HTTPException, _problem)
    return app


def _page(name: str) -> Response:
    """Nothing outside of the page itself may be loaded: it works offline, and nobody else's script
    runs in it.
    """
    reply = send_from_directory(_PAGES, name)
    reply.headers["Content-Security-Policy"] = (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; frame-ancestors 'self'; "
        "form-action 'none'; base-uri 'none'"
    )
    reply.headers["X-Content-Type-Options"] = "nosniff"
    return reply


def _json(value: Any) -> Response:
    return Response(codec.encode(value), content_type=JSON)


def _problem(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {"Allow": _ALLOWED.get(request.path, "GET, HEAD")} if status == _NOT_ALLOWED else {}
    detail = f"{request.method} {request.path}: {_DETAILS.get(status, error.description)}"
    body = codec.encode(Problem(status, detail).as_dict(request.environ["mlfunc.request_id"]))
    return Response(body, status=status, content_type=PROBLEM, headers=headers)


_NOT_ALLOWED = 405
_ALLOWED = {"/": "GET, HEAD, POST"}
_DETAILS = {
    404: "there are POST /, GET /, /openapi.json, /docs, /health/liveness and /health/readiness",
    405: "this route does not take that method",
}
