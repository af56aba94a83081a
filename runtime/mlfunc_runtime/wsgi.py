"""A WSGI application called for one request (PEP 3333)."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.messages import Reply

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication
    from wsgiref.types import WSGIEnvironment as Environ

    from mlfunc_runtime.messages import Request

_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]+)(:(?P<port>[0-9]+)?)?")
_UNPREFIXED = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def call(application: WSGIApplication, request: Request) -> Reply:
    """Its reply, read to its end: pages and documents, no streams."""
    started: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: object = None) -> Any:  # noqa: ARG001 - PEP 3333
        started[:] = [int(status[:3]), dict(headers)]

    body = application(environ(request), start_response)
    try:
        content = b"".join(body)
    finally:
        if close := getattr(body, "close", None):
            close()
    status, headers = started
    return Reply(content, status=status, headers=headers)


def environ(request: Request) -> Environ:
    """The request as PEP 3333 has it; HEAD is GET, whose body is not sent."""
    server = _HOST.fullmatch(request.headers.get("host", ""))
    variables: Environ = {
        _UNPREFIXED.get(name) or f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.headers.items()
        if name != "transfer-encoding"
    }
    return variables | {
        "REQUEST_METHOD": "GET" if request.method == "HEAD" else request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": server["name"] if server else "localhost",
        "SERVER_PORT": (server and server["port"]) or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "mlfunc.request_id": request.id,
    }
