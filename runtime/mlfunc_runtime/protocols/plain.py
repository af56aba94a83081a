"""Plain HTTP: JSON, text, bytes and forms in; JSON, bytes and streams out."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError

from mlfunc_runtime import replies
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.messages import BINARY, JSON
from mlfunc_runtime.patching import hub
from mlfunc_runtime.schema import LARGE
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.messages import Reply, Request
    from mlfunc_runtime.protocols import Run
    from mlfunc_runtime.schema import Binding

    Reader = Callable[[Request, Binding], dict[str, Any]]

_OF_JSON = ("fields", "body")
_ENCODING = "content-encoding"
_WEB_FORM = "application/x-www-form-urlencoded"


def answer(request: Request, pipeline: Run) -> Reply:
    """Decode, run, encode."""
    predictor = pipeline.predictor
    if predictor.needs_event:
        wanted = "this function takes CloudEvents: send ce- headers or application/cloudevents+json"
        raise Problem(400, wanted, field="ce-specversion")
    result = pipeline.run(request, decode(request, predictor.wire))
    try:
        return _reply(result, request, pipeline)
    except BaseException:
        request.when_sent.clear()  # its caller hears that it failed, and may send it again
        raise


def _reply(result: Any, request: Request, pipeline: Run) -> Reply:
    if isinstance(result, Stream):
        patience = pipeline.settings.chunk_timeout
        binary = pipeline.predictor.output is bytes
        return replies.stream(result, request, binary=binary, patience=patience)
    return replies.result(result)


def decode(request: Request, binding: Binding) -> dict[str, Any]:
    """The body as arguments, by its content type.

    Raises:
        Problem: 415 for a type that this predictor does not take, 400 for a body that does not fit.

    """
    if len(request.body) > LARGE:
        hub.turn()
    arguments = _reader(request, binding)(request, binding)
    if binding.kind in ("body", "bytes"):
        request.data = arguments[binding.names[0]]
    elif binding.kind == "fields":
        request.data = arguments
    return arguments


def _reader(request: Request, binding: Binding) -> Reader:
    headers = request.headers
    if (
        headers.get("content-type") == JSON
        and binding.kind in _OF_JSON
        and _ENCODING not in headers
    ):
        return _json  # nearly all requests
    if headers.get(_ENCODING, "identity").lower() != "identity":
        refused = "this function takes no compressed bodies"
        raise Problem(415, refused, field="Content-Encoding")
    if binding.kind == "nothing":
        return _anything
    content_type = request.content_type
    is_bytes = binding.kind == "bytes" and content_type != _WEB_FORM
    if content_type.endswith("+json") or (is_bytes and content_type not in _READERS):
        return _json
    if content_type not in _READERS:
        wanted = BINARY if binding.kind == "bytes" else JSON
        detail = f"Content-Type is {content_type}; send this function -H 'Content-Type: {wanted}'"
        raise Problem(415, detail, field="Content-Type")
    return _READERS[content_type]


def _anything(request: Request, binding: Binding) -> dict[str, Any]:
    """Only the predictor knows what the body means; it is decoded if it is JSON."""
    try:
        request.data = binding.decode(request.body) if request.body else None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        request.data = None
    return binding.complete({})


def _json(request: Request, binding: Binding) -> dict[str, Any]:
    if request.data is not None and binding.kind != "bytes":  # before_predict had it, decoded
        return binding.from_data(request.data, str_keys=True)
    return binding.from_body(request.body)


def _text(request: Request, binding: Binding) -> dict[str, Any]:
    if binding.kind == "bytes":
        return binding.from_body(request.body)
    try:
        return binding.from_text(request.body.decode())
    except UnicodeDecodeError as error:
        raise Problem(400, f"the text is not UTF-8: {error}") from None


def _form(request: Request, binding: Binding) -> dict[str, Any]:
    """A multipart form: files are bytes, the rest is text and may be read as numbers."""
    fields = _form_fields(request)
    if binding.kind == "bytes":
        return binding.from_data(_only_file(fields))
    return binding.from_data(fields, strict=False)


def _form_fields(request: Request) -> dict[str, bytes | str]:
    """werkzeug comes with Flask; it is imported (100 ms) only by a function that gets forms."""
    from werkzeug.formparser import FormDataParser
    from werkzeug.http import parse_options_header

    parser = FormDataParser(stream_factory=_in_memory, silent=False)
    mimetype, options = parse_options_header(request.headers["content-type"])
    try:
        _, texts, files = parser.parse(
            io.BytesIO(request.body), mimetype, len(request.body), options
        )
    except ValueError as error:
        raise Problem(400, f"the form cannot be read: {error}", field="Content-Type") from None
    return {**texts.to_dict(), **{name: file.read() for name, file in files.items()}}


def _in_memory(
    total_content_length: int | None,  # noqa: ARG001 - werkzeug's signature
    content_type: str | None,  # noqa: ARG001
    filename: str | None,  # noqa: ARG001
    content_length: int | None = None,  # noqa: ARG001
) -> io.BytesIO:
    """The body is in memory already; werkzeug's own factory writes large files to disk."""
    return io.BytesIO()


def _only_file(fields: dict[str, bytes | str]) -> bytes:
    files = [value for value in fields.values() if isinstance(value, bytes)]
    if len(files) != 1:
        raise Problem(400, f"the form has {len(files)} files; this function takes exactly one")
    return files[0]


_READERS: dict[str, Reader] = {
    "": _json,
    JSON: _json,
    "text/plain": _text,
    "multipart/form-data": _form,
}
