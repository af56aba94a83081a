"""Where a supervisor is reached: its gateway by TCP, its API by a Unix socket of its user's own."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Entrance:
    """Where requests come in; `moved`: why no longer where they came in before."""

    socket: socket.socket
    port: int
    moved: str = ""


def gateway(home: Home, host: str, port: int | None) -> Entrance:
    """Where requests come in; `port`: as it was told to, 0 for any.

    Without one it is the one of before, else the first that is free, which it keeps: so those of
    several users do not collide, whoever comes first.

    Raises:
        MlfuncError: it cannot listen there.

    """
    before = kept(home)
    bound = first_free(host, wanted(port, before))
    now = int(bound.getsockname()[1])
    with contextlib.ExitStack() as unless_kept:
        unless_kept.enter_context(bound)
        if now != before:
            homes.write_whole(home.port, f"{now}\n")
        unless_kept.pop_all()
    if port is not None or before is None or now == before:
        return Entrance(bound, now)
    return Entrance(bound, now, _moved(before, now))


def wanted(told: int | None, before: int | None) -> Sequence[int]:
    """The ports to be tried, in this order: the one that it was told, or else many."""
    if told is not None:
        return (told,)
    first = () if before is None else (before,)
    return (*first, *range(FIRST_PORT, FIRST_PORT + _PORTS), 0)


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
        MlfuncError: none can; of the last one, it says who has it.

    """
    for port in ports:
        if bound := _listen(host, port):
            return bound
    hint = "choose another: mlfunc platform start --port 0 takes any that is free"
    raise MlfuncError(taken(ports[-1]), hint)


def _listen(host: str, port: int) -> socket.socket | None:
    """None: somebody else does."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise _failure(error, host, port) from error
    return bound


def _failure(error: OSError, host: str, port: int) -> MlfuncError:
    if isinstance(error, socket.gaierror):
        return UsageError(f"{host} is no address of this machine", "leave --host out")
    reason = (error.strerror or str(error)).lower()
    hint = "leave --host out, or choose a port above 1023: mlfunc platform start --port 8088"
    if error.errno == errno.EADDRNOTAVAIL:
        hint = "leave --host out, or give it an address of this machine; 0.0.0.0 stands for all"
    return MlfuncError(f"the local platform cannot listen on {host}:{port}: {reason}", hint)


def taken(port: int) -> str:
    """That it is, and by whom, as far as this user may know it."""
    whose = listeners.whose(port)
    return f"port {port} is taken{f' by {whose}' if whose else ''}"


def _moved(before: int, now: int) -> str:
    return (
        f"{taken(before)}: functions that were reached there are at port {now} from now on"
        f" (once it is free, mlfunc platform stop && mlfunc platform start --port {before}"
        " moves them back)"
    )
