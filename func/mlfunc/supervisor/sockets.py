"""Where a supervisor is reached: its gateway by TCP, its API by a Unix socket of its user's own."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError, UsageError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import listeners

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.supervisor.home import Home

LOOPBACK = "127.0.0.1"
FIRST_PORT = 8088
_PORTS = 100
_BACKLOG = 1024


def gateway(home: Home, host: str, port: int | None) -> socket.socket:
    """Where requests come in; `port`: as it was told to, 0 for any.

    Without one it is the one of before. A supervisor that has none yet takes the first that is
    free, so that those of several users do not collide, and keeps it.

    Raises:
        MlfuncError: it cannot listen there.

    """
    before = kept(home)
    wanted: Sequence[int] = range(FIRST_PORT, FIRST_PORT + _PORTS)
    if port is not None or before is not None:
        wanted = (port if port is not None else before or 0,)
    bound = first_free(host, wanted)
    with contextlib.ExitStack() as unless_kept:
        unless_kept.enter_context(bound)
        if (now := bound.getsockname()[1]) != before:
            homes.write_whole(home.port, f"{now}\n")
        unless_kept.pop_all()
    return bound


@contextlib.contextmanager
def api(home: Home) -> Iterator[socket.socket]:
    """Where commands come in: what a killed one has left there goes first, for it is dead."""
    home.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as bound:
        before = os.umask(0o177)
        try:
            bound.bind(os.fspath(home.socket))
        finally:
            os.umask(before)
        bound.listen(_BACKLOG)
        try:
            yield bound
        finally:
            home.socket.unlink(missing_ok=True)


def kept(home: Home) -> int | None:
    """The port that its gateway had last; None: it has had none."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(home.port.read_text(encoding="ascii"))
    return None


def first_free(host: str, ports: Sequence[int]) -> socket.socket:
    """Listen on the first of them that can be had.

    Raises:
        MlfuncError: none can; of a single one, it says who has it.

    """
    for port in ports[:-1]:
        with contextlib.suppress(OSError):
            return _listen(host, port)
    try:
        return _listen(host, ports[-1])
    except socket.gaierror as error:
        raise UsageError(f"{host} is no address of this machine", "leave --host out") from error
    except OSError as error:
        raise _failure(error, host, ports) from error


def _listen(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _failure(error: OSError, host: str, ports: Sequence[int]) -> MlfuncError:
    if error.errno != errno.EADDRINUSE:
        reason = (error.strerror or str(error)).lower()
        hint = "leave --host out, or choose a port above 1023: mlfunc platform start --port 8088"
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "leave --host out, or give it an address of this machine; 0.0.0.0 stands for all"
        return MlfuncError(
            f"the local platform cannot listen on {host}:{ports[-1]}: {reason}", hint
        )
    if len(ports) > 1:
        message = f"the ports {ports[0]} to {ports[-1]} are all taken"
        return MlfuncError(message, "mlfunc platform start --port 0 takes any that is free")
    whose = listeners.whose(ports[0])
    return MlfuncError(
        f"port {ports[0]} is taken{f' by {whose}' if whose else ''}",
        "end that, or move the local platform, and with it the addresses of its functions: "
        "mlfunc platform start --port 0 (any that is free)",
    )
