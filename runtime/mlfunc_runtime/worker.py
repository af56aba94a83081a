"""gunicorn's gevent worker without its master: one process that listens, serves, drains and leaves.

A master would restart a crashed worker where Kubernetes already restarts the container, hide the
exit code, and stand between the kernel's SIGTERM and the drain. gunicorn's parser, sockets and
request loop stay.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import signal
import sys
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker

from mlfunc_runtime import codec, logs
from mlfunc_runtime.errors import Problem, user_traceback
from mlfunc_runtime.messages import PROBLEM, Request

if TYPE_CHECKING:
    from mlfunc_runtime.wsgi import Application

_STATUS = {
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
    UnsupportedTransferCoding: 501,
    ExpectationFailed: 417,
}
UNDONE = 3
_LINGER_BYTES = 64 * 2**20


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves one function until SIGTERM or SIGINT. `exit_code` says how it ended."""

    sockets: list[Any]
    exit_code = 0

    def serves(self, application: Application) -> None:
        """What to serve; to be called before `init_process`."""
        self._stopping = Event()
        self._application = application
        self.function = application.function

    def patch(self) -> None:
        """The process was patched at its first line; gunicorn's sockets need only be unwrapped."""
        self.sockets = [
            socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach())
            for s in self.sockets
        ]

    def init_signals(self) -> None:
        """A second signal ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._stop)

    def notify(self) -> None:
        """There is no master to notify."""

    def run(self) -> None:
        """Listen, start the function beside it, wait for the end, drain."""
        servers = [StreamServer(s, handle=functools.partial(self.handle, s)) for s in self.sockets]
        for server in servers:
            server.start()
        self._report_ports()
        starting = gevent.spawn(self._start)
        self._stopping.wait()
        starting.kill(block=False)
        self._drain(servers)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection, and close it so that the last reply arrives.

        Closing a socket with unread input resets the connection, and the client may never see why
        it was refused (RFC 9112, section 9.6).
        """
        kept = client.dup()
        try:
            super().handle(listener, client, addr)
        finally:
            util.close_graceful(kept, max_drain=_LINGER_BYTES)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """What is no HTTP gets a problem; what is our fault a log line, too."""
        request, status = Request(), _status_of(exc)
        if status != HTTPStatus.INTERNAL_SERVER_ERROR:
            _write_problem(client, Problem(status, str(exc)), request)
            return
        _write_problem(client, Problem(status, "the server failed"), request)
        trace = user_traceback(exc)
        told = "a request failed in the server"
        logs.event(told, level=logging.ERROR, request_id=request.id, traceback=trace)

    def _start(self) -> None:
        """Whatever it ends with, the process does not stay as one that never gets ready."""
        try:
            self.function.start()
        except gevent.GreenletExit:
            raise
        except BaseException as error:
            self.exit_code = logs.failed(error)
            self._stopping.set()

    def _stop(self) -> None:
        if self._stopping.is_set():
            logs.event("stopped at once", phase="stopped", **self.function.dropped())
            exit_now(UNDONE)
        self.function.state = "draining"
        self._stopping.set()

    def _report_ports(self) -> None:
        ports = [s.getsockname()[1] for s in self.sockets]
        metrics_port = ports[1] if len(ports) > 1 else 0
        self._application.metrics_port = metrics_port
        logs.event(
            f"listening on port {ports[0]}",
            phase="listening",
            port=ports[0],
            metrics_port=metrics_port,
        )

    def _drain(self, servers: list[StreamServer]) -> None:
        """Requests, hooks and what has to be told of them, within `serve.drain`."""
        function = self.function
        if self.exit_code:
            return
        deadline = time.monotonic() + function.settings.drain
        logs.event(
            "draining", phase="draining", in_flight=function.in_flight, hooks=function.backlog.size
        )
        self.alive = False
        for server in servers:
            server.close()
        undone = function.stop(deadline)
        logs.event("stopped", phase="stopped", **dataclasses.asdict(undone))
        self.exit_code = UNDONE if undone else 0


def exit_now(code: int) -> NoReturn:
    """Leave without tearing the interpreter down: after torch that takes over a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _status_of(error: BaseException) -> int:
    """What an error of gunicorn's parser is to the client; 500 if it is none of those."""
    known = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), None)
    return known or (400 if isinstance(error, ParseException) else 500)


def _write_problem(client: Any, problem: Problem, request: Request) -> None:
    body = codec.encode(problem.as_dict(request.id))
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nConnection: close\r\n"
        f"Content-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request.id}\r\n\r\n"
    )
    try:
        util.write(client, head.encode("ascii") + body)
    except OSError:
        logs.event(
            "the client left before it heard of its error",
            level=logging.DEBUG,
            request_id=request.id,
        )
