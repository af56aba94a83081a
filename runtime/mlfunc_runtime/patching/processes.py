"""Child processes, which are native, but waited for cooperatively on the hub.

gevent's own way needs a handler for SIGCHLD, and works on the default loop's thread only.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.patching import hub
from mlfunc_runtime.patching.replacing import when_imported

if TYPE_CHECKING:
    from types import ModuleType


def patch() -> None:
    """Each module when it is imported."""
    when_imported("subprocess", _patch_popen)
    when_imported("multiprocessing.connection", _patch_connection)


def _patch_popen(subprocess: ModuleType) -> None:
    """`run`, `call`, `check_output` wait in these two."""
    cls = subprocess.Popen
    native_wait, native_communicate = cls._wait, cls.communicate

    def _wait(self: Any, timeout: float | None) -> int:
        if self.returncode is None and hub.on_hub():
            timeout = _until_exit(self, timeout)
        code: int = native_wait(self, timeout)
        return code

    def communicate(self: Any, input: Any = None, timeout: float | None = None) -> Any:  # noqa: A002 - its name
        if timeout is None and hub.on_hub():
            # Without a time limit it reads a single pipe directly, which holds up the hub.
            timeout = threading.TIMEOUT_MAX
        return native_communicate(self, input, timeout)

    def _until_exit(process: Any, timeout: float | None) -> float | None:
        """Wait; return how long the native `wait` still may."""
        try:
            exited = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return None
        except OSError:
            # A kernel, or a sandbox, without it: with a limit, the native `wait` looks and sleeps.
            return threading.TIMEOUT_MAX if timeout is None else timeout
        try:
            if hub.wait_readable(exited, timeout):
                return None
        finally:
            os.close(exited)
        raise subprocess.TimeoutExpired(process.args, timeout)

    cls._wait, cls.communicate = _wait, communicate


def _patch_connection(connection: ModuleType) -> None:
    """It reads descriptors taken out of sockets, and ours do not block."""
    cls = connection.Connection
    native_init = cls.__init__

    def __init__(self: Any, handle: int, *arguments: Any, **options: Any) -> None:
        native_init(self, handle, *arguments, **options)
        os.set_blocking(self.fileno(), True)

    cls.__init__ = __init__
