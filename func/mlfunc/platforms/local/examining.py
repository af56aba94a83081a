"""What `mlfunc doctor` says of the local platform. It is looked at, not started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import __version__, ports
from mlfunc.checkup import Check
from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import sockets

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
    starts = "does not run; mlfunc deploy --platform local starts it"
    try:
        if (port := sockets.kept(home)) is not None:
            ports.check(sockets.LOOPBACK, port)
    except MlfuncError as error:
        detail = f"does not run, and its {error.message}"
        fix = "end what listens there, or mlfunc platform start --port 0 moves it"
        return Check(_ROW, "warn", detail, _BY, fix)
    return Check(_ROW, "ok", starts, _BY)
