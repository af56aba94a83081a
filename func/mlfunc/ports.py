"""The ports that functions listen on: free, or whose."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from mlfunc import running
from mlfunc.errors import MlfuncError, UsageError


def check(host: str, port: int) -> None:
    """Whether a function could listen there now; 0 stands for any free port.

    Raises:
        MlfuncError: it could not.

    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise UsageError(f"{host} is no address of this machine", "--host 0.0.0.0") from error
        except OSError as error:
            raise _failure(error, host, port) from error


def free(host: str) -> int:
    """One that nobody listens on now; somebody may, before whoever it is for does."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> MlfuncError:
    """The failure to listen where somebody else does; if it is a function of ours, which."""
    owner = next((entry for entry in running.everything() if _port(entry.url) == port), None)
    whose = f": {owner.name} is served there" if owner else ""
    hint = "choose another: --port 0 takes any that is free"
    return MlfuncError(f"port {port} is taken{whose}", hint)


def _failure(error: OSError, host: str, port: int) -> MlfuncError:
    if error.errno == errno.EADDRINUSE:
        return taken(port)
    reason = (error.strerror or str(error)).lower()
    hint = (
        "a port above 1023" if error.errno == errno.EACCES else "--host 127.0.0.1, or leave it out"
    )
    return MlfuncError(f"cannot listen on {host}:{port}: {reason}", hint)


def _port(url: str) -> int | None:
    return urlsplit(url).port
