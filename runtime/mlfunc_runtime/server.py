"""The gunicorn application: our settings as gunicorn's, the sockets, the one worker."""

from __future__ import annotations

import errno
import gc
import logging
import os
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.sock import TCP6Socket, TCPSocket

from mlfunc_runtime.errors import StartupError
from mlfunc_runtime.function import Function
from mlfunc_runtime.worker import Worker

if TYPE_CHECKING:
    from mlfunc_runtime.settings import Settings
    from mlfunc_runtime.startup import Startup


class PortTaken(StartupError):
    """Another process listens there."""

    exit_code = 98


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Runs its worker in this very process."""

    def __init__(self, settings: Settings, startup: Startup) -> None:
        self._settings = settings
        self._startup = startup
        super().__init__()

    def load_config(self) -> None:
        """BaseApplication's hook."""
        settings = self._settings
        values = {
            "bind": [f"{settings.host}:{settings.port}"],
            "workers": 1,
            "graceful_timeout": int(settings.drain),
            "worker_tmp_dir": None,
            "logger_class": _QuietLogger,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # it only raises
        """BaseApplication's hook: the WSGI callable. The worker has routes instead."""

    def serve(self) -> int:
        """Serve until a signal, and return the exit code.

        Raises:
            PortTaken: a port is in use.

        """
        log = _QuietLogger(self.cfg)
        sockets = [self._listen(self._settings.port, log), *self._metrics_socket(log)]
        function = Function(
            self._settings, self._startup, after_import=gc.freeze, before_ready=_settle
        )
        worker = Worker(1, os.getppid(), sockets, self, self.cfg.timeout, self.cfg, log)
        worker.serves(function)
        self._startup.done("runtime")
        worker.init_process()
        return worker.exit_code

    def _metrics_socket(self, log: Any) -> list[Any]:
        return (
            [self._listen(self._settings.metrics_port, log)] if self._settings.metrics_port else []
        )

    def _listen(self, port: int, log: Any) -> Any:
        """gunicorn's own function tries five times, a second apart, and leaves with sys.exit."""
        host = self._settings.host
        kind: Any = TCP6Socket if ":" in host else TCPSocket
        try:
            return kind((host, port), self.cfg, log)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from None
            raise PortTaken(
                f"port {port} is in use", "stop what listens there, or choose another with PORT"
            ) from None


class _QuietLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages go where ours go; it keeps no handlers and no access log."""

    def setup(self, cfg: Any) -> None:
        """Logger's hook."""
        self.cfg = cfg
        self.error_log = self.access_log = logging.getLogger("mlfunc.server")

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Metrics count requests; a line for each would cost more than answering it."""


def _settle() -> None:
    """Turn the collector on again; it leaves alone what the start has made, which stays anyway.

    What the import has made is frozen by then: to look through that for garbage, of which there is
    next to none, takes a tenth of a start with transformers. What `load` has left may be large.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
