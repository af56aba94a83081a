"""One request answered: the reply found, and sent whole or as a stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from mlfunc_runtime import logs
from mlfunc_runtime.errors import Problem, user_traceback
from mlfunc_runtime.http import render
from mlfunc_runtime.messages import CLIENT_GONE, Gone, Reply, Request, StreamBody
from mlfunc_runtime.replies import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.http.writer import Writer


class Routes(Protocol):
    """What is served."""

    def answer(self, request: Request) -> Reply:
        """The reply to a request."""
        ...

    def sent(self, request: Request, reply: Reply) -> None:
        """The reply is out, or the caller is gone."""
        ...


def answer(routes: Routes, request: Request) -> Reply:
    """The reply; what goes wrong in the server becomes one, and a line in the log."""
    try:
        return routes.answer(request)
    except Gone:
        return Reply(status=CLIENT_GONE)
    except Exception as error:
        trace = user_traceback(error)
        told = "a request failed in the server"
        logs.event(told, level=logging.ERROR, request_id=request.id, traceback=trace)
        return problem(Problem(500, "the server failed"), request)


def send(
    writer: Writer,
    reply: Reply,
    request: Request,
    *,
    keep: bool,
    chunked: bool,
    streaming: Callable[[], None],
) -> bool:
    """Send a reply; whether the connection can be kept.

    A stream is sent in chunks if the client knows them (`chunked`); `streaming` is called when the
    head of such a reply is out.

    Raises:
        Gone: the client is not there any more.

    """
    body = reply.body
    if isinstance(body, StreamBody) and request.method != "HEAD":
        keep = keep and chunked
        writer.write(render.head(reply, request, keep=keep, chunked=chunked))
        if chunked:
            streaming()
        return _stream(writer, body, chunked=chunked) and keep
    writer.write(render.whole(reply, request, keep=keep))
    return keep


def _stream(writer: Writer, body: StreamBody, *, chunked: bool) -> bool:
    """The next piece is asked for when the last one is out: the reader sets the pace."""
    try:
        for piece in body:
            if piece:
                writer.write(render.chunk(piece) if chunked else piece)
    except OSError:  # it broke off, and was logged: a body without its end says so
        return False
    if chunked:
        writer.write(render.LAST_CHUNK)
    return True
