"""Drive a function in process, for a user's own tests: no sockets, the real pipeline.

from mlfunc_runtime.testing import Client

def test_example():
    with Client(Path(__file__).parent) as client:
        assert client.post(client.example).json() == [...]
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlfunc_runtime import codec, cpus, settings
from mlfunc_runtime.function import Function
from mlfunc_runtime.http import render
from mlfunc_runtime.http.fields import identify
from mlfunc_runtime.http.target import split
from mlfunc_runtime.messages import JSON, Reply, Request, StreamBody
from mlfunc_runtime.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from werkzeug.datastructures import Headers


class Answer:
    """A reply as a client sees it."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The items of a stream of server-sent events.

        Raises:
            RuntimeError: the stream ended with an error, or without its end.

        """
        events = list(_server_sent(self.body.decode()))
        if not events or events[-1][0] != "end":
            message = f"the stream did not end well: {events[-1:]}"
            raise RuntimeError(message)
        return [data for kind, data in events if kind == "message"]


class Client:
    """A started function.

    `models` gives paths by name, `env` any variable of the runtime's contract.
    """

    def __init__(
        self,
        folder: str | Path = ".",
        *,
        models: Mapping[str, str | Path] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        variables = {"MLFUNC_FUNCTION": str(Path(folder) / "mlfunc.yaml"), **(env or {})}
        for name, path in (models or {}).items():
            variables[f"MLFUNC_MODEL_{name.upper().replace('-', '_')}"] = str(path)
        told = settings.read(variables)
        cpus.limit_threads(os.environ, cpus.available(told.cpus), told.slots)
        self.function = Function(told)
        self._routes = Routes(self.function)

    def __enter__(self) -> Self:
        self.function.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.function.drain()
        self.function.stop(time.monotonic() + self.function.settings.drain)

    @property
    def example(self) -> Any:
        """The predictor's `example`: JSON data, or bytes."""
        predictor = self.function.predictor
        if predictor is None or predictor.example is None:
            return None
        example = predictor.example
        return example.data if example.content_type == JSON else example.body

    def post(
        self,
        data: Any = None,
        *,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Answer:
        """Predict. Bytes are sent as they are, `files` as a multipart form, all else as JSON."""
        if files is not None:
            body, kind = _form(files)
        else:
            raw = isinstance(data, bytes)
            body = data if raw else codec.encode(data)
            kind = content_type or ("application/octet-stream" if raw else JSON)
        return self._send("POST", "/", {"Content-Type": kind, **(headers or {})}, body)

    def event(
        self,
        data: Any = None,
        *,
        type: str = "com.example.test",  # noqa: A002 - the attribute's name
        source: str = "/test",
        id: str = "",  # noqa: A002 - the attribute's name
        **extensions: str,
    ) -> Answer:
        """Send a CloudEvent in binary mode; `data` is JSON, or bytes; None: it has no data.

        Without an `id` it is a new event; one with the same source and id is the same, redelivered.
        """
        number = id or uuid.uuid4().hex
        attributes = {"specversion": "1.0", "type": type, "source": source, "id": number}
        attributes |= extensions
        headers = {f"ce-{name}": value for name, value in attributes.items()}
        if data is None:
            return self._send("POST", "/", headers)
        return self.post(data, headers=headers)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Any other route."""
        return self._send("GET", path, headers)

    def drain(self) -> None:
        """Wait until every after_response hook is done."""
        self.function.backlog.drain(self.function.settings.drain)

    def _send(
        self, method: str, target: str, headers: Mapping[str, str] | None, body: bytes = b""
    ) -> Answer:
        given = {name.lower(): value for name, value in (headers or {}).items()}
        path, query = split(target.encode(), given, method)
        request = Request(
            body,
            given,
            method=method,
            path=path,
            query=query,
            request_id=identify(given.get("x-request-id")),
        )
        reply = self._routes.answer(request)
        try:
            return _answer(reply, request)
        finally:
            self._routes.sent(request, reply)


def _answer(reply: Reply, request: Request) -> Answer:
    from werkzeug.datastructures import Headers

    lines = render.head(reply, request, keep=True).decode("latin-1").split("\r\n")
    headers = Headers()
    for line in lines[1:-2]:
        headers.add(*line.split(": ", 1))
    if not isinstance(reply.body, StreamBody):
        return Answer(reply.status, headers, reply.body)
    try:
        return Answer(reply.status, headers, b"".join(reply.body))
    finally:
        reply.body.close()


def _form(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A multipart form (RFC 7578), and its content type."""
    boundary = os.urandom(16).hex()
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    ]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _server_sent(text: str) -> Iterator[tuple[str, Any]]:
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        yield fields.get("event", "message"), json.loads(fields["data"])
