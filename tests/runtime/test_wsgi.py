"""The rest of the routes as WSGI applications see them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from wsgiref.validate import validator

import pytest
from mlfunc_runtime import wsgi
from mlfunc_runtime.app import create_app
from mlfunc_runtime.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

SOURCE = """
    class P:
        example = {"n": 1}
        def predict(self, n: int) -> int: return n
"""


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("a", "a", "80"),
        ("a:81", "a", "81"),
        ("a:", "a", "80"),
        ("[::1]", "[::1]", "80"),
        ("[::1]:82", "[::1]", "82"),
        ("", "localhost", "80"),
        ("a:b:c", "localhost", "80"),
    ],
)
def test_a_host_is_a_name_and_a_port(host: str, name: str, port: str) -> None:
    environ = wsgi.environ(Request(headers={"host": host}))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/", "/openapi.json", "/docs", "/_mlfunc/x", "/é".encode().decode("latin-1")]
)
def test_every_route_is_called_as_pep_3333_wants_it(
    serve: Callable[..., Client], method: str, path: str
) -> None:
    application = validator(create_app(serve(SOURCE).function))
    headers = {"host": "a", "content-type": "text/plain", "transfer-encoding": "chunked"}
    reply = wsgi.call(application, Request(b"abc", headers, method=method, path=path))
    assert reply.status in (200, 404, 405)
