"""`mlfunc run`: serve the function here, and start it again when its files change."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from mlfunc import environment, function, loglines, options, runner, running
from mlfunc.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlfunc.errors import MlfuncError
    from mlfunc.ui import Progress, Ui

_PHASES = {"warming": "warming up"}
_NAMED_AT_MOST = 3


@click.command("run")
@options.folder
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0: all of this machine."
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="none",
    help="Where to serve Prometheus metrics.",
)
@click.option(
    "-e",
    "--env",
    "env",
    multiple=True,
    metavar="K=V",
    callback=options.pairs,
    help="A variable for the function; repeat it for more.",
)
@click.option("--reload/--no-reload", default=True, help="Start again when a file changes.")
@options.verbose
@click.pass_obj
def command(
    ui: Ui,
    folder: Path,
    port: int,
    host: str,
    metrics_port: int,
    env: dict[str, str],
    reload: bool,
) -> None:
    """Serve the function here, until Ctrl-C.

    The first run makes an environment with the function's requirements; later ones reuse it.
    """
    with Screen(ui, folder, host) as screen:

        def prepare() -> runner.Launch:
            loaded = function.load(folder)
            screen.begin(loaded, missing=runner.missing_env(loaded, {**os.environ, **env}))
            made = environment.ensure(environment.describe(folder, loaded), screen.installing)
            screen.phase("starting")
            return runner.launch(
                made, folder, loaded, host=host, port=port, metrics_port=metrics_port, env=env
            )

        Session(prepare, screen, reload=reload, port=port).serve()


class Screen:
    """Shows a session to its user, and to `mlfunc invoke` where the function is."""

    def __init__(self, ui: Ui, folder: Path, host: str) -> None:
        self._ui = ui
        self._folder = folder
        self._host = _reachable(host)
        self._name = ""
        self._progress: Progress | None = None
        self._at_line_start = True
        self._published = contextlib.ExitStack()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop_waiting(succeeded=kind is None)
        self._published.close()

    def begin(self, loaded: function.Function, *, missing: list[str]) -> None:
        """A start begins."""
        self._name = loaded.name
        for variable in missing:
            self._ui.note(f"{variable} is kept in the cluster: give it here with -e {variable}=...")

    def installing(self, text: str) -> None:
        """The environment is being made; the installer says so much."""
        self.phase("installing")
        if self._progress is not None:
            self._progress.detail(text)

    def phase(self, name: str) -> None:
        """The next phase, in place of the one before."""
        self._end_line()
        if name == "stopped":
            self._stop_waiting(succeeded=True)
        elif self._progress is None:
            self._progress = self._ui.begin(_PHASES.get(name, name))
        else:
            self._progress.phase(_PHASES.get(name, name))

    def ready(self, port: int, startup: Mapping[str, float]) -> None:
        """Say where it is, and what the start cost."""
        self._end_line()
        self._stop_waiting(succeeded=True)
        url = f"http://{self._host}:{port}"
        self._published.close()
        self._published.enter_context(running.published(self._name, self._folder, url))
        self._ui.say(f"{self._name} serves at {self._ui.paint(url, 'bold')}")
        self._ui.note(f"started in {loglines.startup(startup)}; Ctrl-C ends it")

    def record(self, fields: Mapping[str, Any]) -> None:
        """A log line."""
        self._end_line()
        text, colour = loglines.line(fields), loglines.colour(fields)
        self._ui.note(self._ui.paint(text, colour, error=True) if colour else text)

    def output(self, data: bytes) -> None:
        """What the predictor wrote, untouched."""
        self._ui.write_bytes(data, error=True)
        self._at_line_start = data.endswith((b"\n", b"\r"))

    def failed(self, error: MlfuncError) -> None:
        """It does not serve now."""
        self._end_line()
        self._stop_waiting(succeeded=False)
        self._published.close()
        self._ui.error(error)
        self._ui.note("waiting for a change; Ctrl-C ends it")

    def changed(self, names: list[str]) -> None:
        """It is started again."""
        self._end_line()
        more = len(names) - _NAMED_AT_MOST
        named = ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        self._ui.note(f"{named} changed: starting again")

    def unwatched(self, reason: str) -> None:
        """It is not started again when a file changes."""
        self._end_line()
        self._ui.note(f"changes of files are not noticed any more: {reason}")

    def _end_line(self) -> None:
        """What the predictor wrote may have stopped in the middle of a line."""
        if not self._at_line_start:
            self._ui.note("")
            self._at_line_start = True

    def _stop_waiting(self, *, succeeded: bool) -> None:
        if self._progress is not None:
            self._progress.close(succeeded=succeeded)
            self._progress = None


def _reachable(host: str) -> str:
    """What a URL calls the host that is listened on."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - told from others, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
