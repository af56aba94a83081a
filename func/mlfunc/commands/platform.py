"""`mlfunc platform`: the local platform started, stopped, shown, and left to systemd."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options
from mlfunc.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mlfunc.platforms.local.status import Status
    from mlfunc.supervisor.home import About, Home
    from mlfunc.ui import Ui


@click.group("platform")
def command() -> None:
    """Start, stop or show the local platform, which runs functions without a cluster.

    It starts by itself when something is deployed to it, and runs until it is stopped.
    """


@command.command("start")
@click.option(
    "--port", type=options.PORT, help="Of its gateway.  [default: as before, at first 8088]"
)
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Where its gateway listens; others reach functions there.  [default: 127.0.0.1]",
)
@click.option("--foreground", is_flag=True, help="Stay, and log here, until Ctrl-C.")
@options.reporting("Show tracebacks.")
@click.pass_obj
def start(ui: Ui, port: int | None, host: str | None, foreground: bool) -> None:
    """Start it; what was deployed comes back."""
    from mlfunc.platforms.local import starting
    from mlfunc.supervisor import home as homes

    home = homes.home()
    if before := homes.found(home):
        _check_same(before, host, port, foreground=foreground)
    elif foreground:
        _serve(ui, home, host, port)
        return
    else:
        with ui.progress("starting the local platform"):
            starting.start(home, host=host, port=port)
    _show(ui)


@command.command("stop")
@click.option(
    "--timeout",
    type=options.Duration(0),
    default="60s",
    show_default=True,
    help="How long requests and hooks that are in functions may take to end.",
)
@options.reporting("Show tracebacks.")
@click.pass_obj
def stop(ui: Ui, timeout: float) -> None:
    """Stop it; what is deployed stays for the next start.

    What its functions have to do is done first.
    """
    from mlfunc.platforms.local import stopping

    with ui.progress("stopping the local platform"):
        about = stopping.stop(timeout=timeout)
    said = "the local platform does not run" if about is None else f"stopped process {about.pid}"
    ui.show({"stopped": about is not None}, human=lambda: ui.note(said))


@command.command("status")
@options.reporting("Show tracebacks.")
@click.pass_obj
def status(ui: Ui) -> None:
    """Show whether it runs, since when, where, and what it has to do."""
    _show(ui)


@command.command("unit")
@options.reporting("Show tracebacks.")
@click.pass_obj
def unit(ui: Ui) -> None:
    """Print a user unit of systemd that starts it with this machine.

    It is not installed:

    \b
    mlfunc platform unit > ~/.config/systemd/user/mlfunc.service
    mlfunc platform stop
    systemctl --user enable --now mlfunc
    loginctl enable-linger        (before you log in, too)
    """
    import os
    import sys

    from mlfunc.platforms.local import unit as units

    text = units.text(sys.executable, os.environ)
    ui.show({"unit": text}, human=lambda: ui.write(text))


def _serve(ui: Ui, home: Home, host: str | None, port: int | None) -> None:
    """Be it, until a signal comes."""
    from mlfunc.supervisor import __main__ as program
    from mlfunc.supervisor import sockets
    from mlfunc.supervisor.supervisor import Wish
    from mlfunc.supervisor.tenure import Serves

    try:
        wish = Wish(host or sockets.LOOPBACK, port)
        program.run(home, wish, lambda about: ui.note(f"the local platform serves at {about.url}"))
    except Serves as found:  # since it was looked for
        _check_same(found.about, host, port, foreground=True)


def _check_same(about: About, host: str | None, port: int | None, *, foreground: bool) -> None:
    """One that runs is not moved."""
    if foreground or port not in (None, 0, about.port) or host not in (None, about.host):
        message = f"the local platform runs already, at {about.url}"
        raise UsageError(message, "mlfunc platform stop, then start it")


def _show(ui: Ui) -> None:
    from mlfunc.platforms.local import status

    found = status.status()
    if found is None:
        raise NotFound("the local platform does not run", "mlfunc platform start")
    ui.show(_as_data(found), human=lambda: _report(ui, found))
    if found.about.warning:
        ui.note(f"note: {found.about.warning}")


def _as_data(found: Status) -> dict[str, Any]:
    about = found.about
    return {
        "pid": about.pid,
        "since": _since(about).isoformat(timespec="seconds"),
        "version": about.version,
        "gateway": about.url,
        "dashboard": f"{about.url}/",
        "functions": found.functions,
        "instances": found.instances,
        "events_waiting": found.events,
    }


def _since(about: About) -> datetime:
    return datetime.fromtimestamp(about.began, UTC)


def _report(ui: Ui, found: Status) -> None:
    for name, value in _as_data(found).items():
        title = name.replace("_", " ")
        ui.say(f"{ui.paint(f'{title:<16}', 'cyan')}{value}")
