"""gunicorn's gevent worker without its master, parser and request loop: one process that listens,
serves, drains and leaves.

A master would restart a crashed worker where Kubernetes already restarts the container, hide the
exit code, and stand between the kernel's SIGTERM and the drain. Connections are our own (`http`):
gunicorn's request and response objects took the larger part of a small request's CPU time.
"""

from __future__ import annotations

import _socket
import _thread
import dataclasses
import errno
import functools
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from mlfunc_runtime import logs
from mlfunc_runtime.http.connection import Connection
from mlfunc_runtime.http.connections import Connections, Limits
from mlfunc_runtime.patching import hub
from mlfunc_runtime.routes import MetricsRoutes, Routes

if TYPE_CHECKING:
    from mlfunc_runtime.function import Function
    from mlfunc_runtime.http.exchange import Routes as AnyRoutes

UNDONE = 3
# Seconds beyond `serve.drain` after which the process ends, whatever holds it up: the last log
# lines may take a second or two of them.
_TOO_LONG = 5.0


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves one function until SIGTERM or SIGINT. `exit_code` says how it ended."""

    sockets: list[Any]
    exit_code = 0

    def serves(self, function: Function) -> None:
        """Serve `function`; to be called before `init_process`."""
        self._stopping = Event()
        self._asked_to_stop = False
        self.function = function
        limits = Limits(max_body=function.settings.max_body)
        # Those of the port for metrics are not waited for in the end.
        self._connections, self._scrapes = Connections(limits), Connections(limits)

    def patch(self) -> None:
        """The process was patched at its first line; gunicorn's sockets need only be unwrapped."""
        self.sockets = [
            socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach())
            for s in self.sockets
        ]

    def init_signals(self) -> None:
        """GeventWorker's hook."""
        hub.catch_signals(self._signalled)

    def notify(self) -> None:
        """There is no master to notify."""

    def run(self) -> None:
        """Listen, start the function beside it, wait for the end, drain."""
        served: list[tuple[AnyRoutes, Connections]] = [
            (Routes(self.function), self._connections),
            (MetricsRoutes(self.function), self._scrapes),
        ]
        self._served = dict(zip(self.sockets, served, strict=False))
        servers = [_Listener(s, handle=functools.partial(self.handle, s)) for s in self.sockets]
        for server in servers:
            server.start()
        self._report_ports()
        starting = gevent.spawn(self._start)
        self._stopping.wait()
        starting.kill(block=False)
        self._drain(servers[0])

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ARG002 - gunicorn's
        """Serve a connection. gevent's socket would register with the kernel for each wait."""
        sock = _socket.socket(client.family, client.type, client.proto, client.detach())
        sock.setblocking(False)
        Connection(sock, *self._served[listener]).serve()

    def _start(self) -> None:
        """Whatever it ends with, the process does not stay as one that never gets ready."""
        try:
            self.function.start()
        except gevent.GreenletExit:
            raise
        except BaseException as error:
            self.exit_code = logs.failed(error)
            self._stopping.set()

    def _signalled(self, *_: object) -> None:
        """In the middle of whatever the hub's thread does. A second signal ends the process at
        once.
        """
        if self._asked_to_stop:
            self._stop_at_once()
        self._asked_to_stop = True
        _thread.start_new_thread(self._stop_in_time, ())
        hub.call_soon(self._stop)

    def _stop(self) -> None:
        self.function.drain()
        self._stopping.set()

    def _stop_in_time(self) -> None:
        """In a thread: a hook that computes for ever holds up the hub and its timers."""
        time.sleep(self.function.settings.drain + _TOO_LONG)
        self._stop_at_once()

    def _stop_at_once(self) -> NoReturn:
        self.function.end_processes()
        logs.event("stopped at once", phase="stopped", **self.function.dropped())
        exit_now(UNDONE)

    def _report_ports(self) -> None:
        ports = [s.getsockname()[1] for s in self.sockets]
        metrics_port = ports[1] if len(ports) > 1 else 0
        logs.event(
            f"listening on port {ports[0]}",
            phase="listening",
            port=ports[0],
            metrics_port=metrics_port,
        )

    def _drain(self, server: _Listener) -> None:
        """Answer requests, run hooks, and tell what was not done, all within `serve.drain`.

        Metrics can be read to the end.
        """
        function = self.function
        if self.exit_code:  # it never started
            return
        deadline = time.monotonic() + function.settings.drain
        logs.event(
            "draining", phase="draining", in_flight=function.in_flight, hooks=function.backlog.size
        )
        _accept_the_last(server)
        self._connections.drain()
        undone = function.stop(deadline, self._connections.wait_until_none)
        logs.event("stopped", phase="stopped", **dataclasses.asdict(undone))
        self.exit_code = UNDONE if undone else 0


class _Listener(StreamServer):  # type: ignore[misc]  # gevent has no types
    """What cannot be accepted, for want of file descriptors or memory, stays with the kernel for a
    second; gevent would print a traceback, and a drain end with it.
    """

    def do_read(self) -> Any:
        """StreamServer's hook: a connection; None: there is none."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno != errno.ECONNABORTED:
                told = f"connections have to wait: {error.strerror}"
                logs.event(told, level=logging.WARNING, errno=error.errno)
                self._pause()
            return None

    def _pause(self) -> None:
        server: Any = self
        accepting = server._watcher is not None
        server.stop_accepting()
        if accepting:
            server._timer = server.loop.timer(1)
            server._timer.start(server._start_accepting_if_started)


def exit_now(code: int) -> NoReturn:
    """Leave without tearing the interpreter down: after torch that takes over a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _accept_the_last(server: _Listener) -> None:
    """Connections that the kernel has made already would be reset."""
    server.stop_accepting()
    while accepted := server.do_read():
        server.do_handle(*accepted)
    server.close()
    gevent.sleep(0)  # their greenlets begin, and are among the connections that are waited for
