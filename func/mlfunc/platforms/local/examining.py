"""What `mlfunc doctor` says of the local platform. It is looked at, not started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import __version__, ports
from mlfunc.checkup import Check
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import resting
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import listeners, sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.supervisor.home import About, Home

_ROW = "local platform"
_BY = "deploy"
_AGAIN = "mlfunc platform stop && mlfunc platform start: what is deployed comes back"


def examine() -> Iterator[Check]:
    """The row: whether it runs, or could."""
    home = homes.home()
    try:
        about = homes.found(home)
    except MlfuncError as error:
        yield Check(_ROW, "fail", error.message, _BY, error.hint)
        return
    yield _of_running(about) if about else _of_stopped(home)


def _of_running(about: About) -> Check:
    if about.version != __version__:
        detail = f"what runs at {about.url} is of mlfunc {about.version}"
        return Check(_ROW, "warn", detail, _BY, _AGAIN)
    return Check(_ROW, "ok", f"runs at {about.url}, process {about.pid}", _BY)


def _of_stopped(home: Home) -> Check:
    try:
        resting.has_deployed(home)
    except MlfuncError as error:
        return Check(_ROW, "fail", f"does not run, and {error.message}", _BY, error.hint)
    if (port := sockets.kept(home)) is not None:
        try:
            ports.check(sockets.LOOPBACK, port)
        except MlfuncError as error:
            return _of_taken(port, error)
    return Check(_ROW, "ok", "does not run; mlfunc deploy --platform local starts it", _BY)


def _of_taken(port: int, error: MlfuncError) -> Check:
    whose = listeners.whose(port)
    detail = f"does not run, and its {error.message}{f' by {whose}' if whose else ''}"
    fix = "end what listens there, else functions have another port from the next start on"
    return Check(_ROW, "warn", detail, _BY, fix)
