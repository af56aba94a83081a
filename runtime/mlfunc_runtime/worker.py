"""gunicorn's gevent worker without its master, parser and request loop: one process that listens,
serves, drains and leaves.

A master would restart a crashed worker where Kubernetes already restarts the container, hide the
exit code, and stand between the kernel's SIGTERM and the drain. Connections are our own (`http`):
gunicorn's request and response objects took the larger part of a small request's CPU time.
"""

from __future__ import annotations

import _socket
import dataclasses
import functools
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from mlfunc_runtime import ending, logs
from mlfunc_runtime.http.connection import Connection
from mlfunc_runtime.http.connections import Connections, Limits
from mlfunc_runtime.routes import MetricsRoutes, Routes

if TYPE_CHECKING:
    from mlfunc_runtime.function import Function
    from mlfunc_runtime.http.exchange import Routes as AnyRoutes

UNDONE = 3


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves one function until SIGTERM or SIGINT. `exit_code` says how it ended."""

    sockets: list[Any]
    exit_code = 0

    def serves(self, function: Function) -> None:
        """What to serve; to be called before `init_process`."""
        self._stopping = Event()
        self.function = function
        self._connections = Connections(Limits(max_body=function.settings.max_body))

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
        routes: list[AnyRoutes] = [Routes(self.function), MetricsRoutes(self.function)]
        self._routes = dict(zip(self.sockets, routes, strict=False))
        servers = [StreamServer(s, handle=functools.partial(self.handle, s)) for s in self.sockets]
        for server in servers:
            server.start()
        self._report_ports()
        starting = gevent.spawn(self._start)
        self._stopping.wait()
        starting.kill(block=False)
        self._drain(servers)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ARG002 - gunicorn's
        """Serve a connection. gevent's socket would register with the kernel for each wait."""
        sock = _socket.socket(client.family, client.type, client.proto, client.detach())
        sock.setblocking(False)
        Connection(sock, self._routes[listener], self._connections).serve()

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
            self.function.end_processes()
            logs.event("stopped at once", phase="stopped", **self.function.dropped())
            exit_now(UNDONE)
        self.function.state = "draining"
        self._stopping.set()

    def _report_ports(self) -> None:
        ports = [s.getsockname()[1] for s in self.sockets]
        metrics_port = ports[1] if len(ports) > 1 else 0
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
        for server in servers:
            _accept_the_last(server)
            server.close()
        self._connections.drain()
        self._connections.wait_until_none(ending.last_orders(deadline) - time.monotonic())
        undone = function.stop(deadline)
        logs.event("stopped", phase="stopped", **dataclasses.asdict(undone))
        self.exit_code = UNDONE if undone else 0


def exit_now(code: int) -> NoReturn:
    """Leave without tearing the interpreter down: after torch that takes over a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _accept_the_last(server: StreamServer) -> None:
    """Connections that the kernel has made already would be reset."""
    server.stop_accepting()
    while accepted := server.do_read():
        server.do_handle(*accepted)
