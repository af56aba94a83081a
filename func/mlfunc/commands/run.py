"""`mlfunc run`: serve the function here, and start it again when its files change."""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any

import click

from mlfunc import environment, function, loglines, options, ports, runner, running
from mlfunc.session import Plan, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlfunc.errors import MlfuncError
    from mlfunc.proc import Cancellation
    from mlfunc.ui import Progress, Ui

_PHASES = {"warming": "warming up"}
_NAMED_AT_MOST = 3


@click.command("run")
@options.folder
@click.option(
    "--port",
    type=options.PORT,
    default=8080,
    show_default=True,
    help="Where it listens; 0: any free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address it listens on; 0.0.0.0: all of this machine.",
)
@click.option(
    "--metrics-port",
    type=options.PORT,
    default=0,
    help="Where to serve Prometheus metrics.  [default: nowhere]",
)
@click.option(
    "-e",
    "--env",
    "env",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="A variable for the function; repeat it for more.",
)
@click.option(
    "--reload/--no-reload",
    default=True,
    show_default=True,
    help="Start again when its code, settings or models change.",
)
@options.verbose("Show each request, what is started, and tracebacks.")
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
    if port == metrics_port != 0:
        raise click.UsageError(f"--port and --metrics-port are both {port}: give two")
    given = {"MLFUNC_LOG_LEVEL": "debug", **env} if ui.verbose else env
    with Screen(ui, folder, host) as screen:

        def prepare() -> Plan:
            loaded = function.load(folder)
            screen.begin(loaded, missing=runner.missing_env(loaded, {**os.environ, **env}))
            ports.check(host, port)
            if metrics_port:
                ports.check(host, metrics_port)
            spec = environment.describe(folder, loaded)
            launch = runner.launch(
                environment.place(spec),
                folder,
                loaded,
                host=host,
                port=port,
                metrics_port=metrics_port,
                env=given,
                shares_terminal=ui.terminal,
            )
            install = functools.partial(_install, spec, loaded, launch)
            return Plan(launch, install, runner.local_models(loaded, launch))

        Session(prepare, screen, folder=folder, reload=reload, port=port).serve()


def _install(
    spec: environment.Spec,
    loaded: function.Function,
    launch: runner.Launch,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> dict[str, str]:
    """What has to be there before the start: the environment, and the models that lie elsewhere."""
    environment.ensure(spec, report, cancellation)
    from mlfunc.models.obtaining import obtain

    return obtain(launch.folder, loaded, launch.env.keys(), report, cancellation)


class Screen:
    """Shows a session to its user, and to `mlfunc invoke` where the function is."""

    def __init__(self, ui: Ui, folder: Path, host: str) -> None:
        self._ui = ui
        self._folder = folder
        self._host = _reachable(host)
        self._name = ""
        self._url = ""
        self._ending = False
        self._progress: Progress | None = None
        self._publication: running.Publication | None = running.Publication()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop_waiting(succeeded=kind is None)
        if self._publication is not None:
            self._publication.close()

    def begin(self, loaded: function.Function, *, missing: list[str]) -> None:
        """A start begins."""
        self._name = loaded.name
        self._publish(serves=False)
        for variable in missing:
            self._ui.note(f"{variable} is kept in the cluster: give it here with -e {variable}=...")

    def installing(self, text: str) -> None:
        """The environment is being made; the installer says so much."""
        self.phase("installing")
        if self._progress is not None:
            self._progress.detail(text)

    def phase(self, name: str) -> None:
        """The next phase, in place of the one before."""
        if name == "stopped":
            self._stop_waiting(succeeded=True)
        elif self._progress is None:
            self._progress = self._ui.begin(_PHASES.get(name, name))
        else:
            self._progress.phase(_PHASES.get(name, name))
        if name == "draining" and self._ending and self._progress is not None:
            self._progress.detail("Ctrl-C again ends it at once")

    def ready(self, port: int, startup: Mapping[str, float]) -> None:
        """Say where it is, and what the start cost."""
        self._stop_waiting(succeeded=True)
        self._url = f"http://{self._host}:{port}"
        self._publish(serves=True)
        # The URL is what scripts wait for: all else is out by then.
        self._ui.note(f"started in {loglines.startup(startup)}; Ctrl-C ends it")
        self._ui.say(f"{self._name} serves at {self._ui.paint(self._url, 'bold')}")

    def record(self, fields: Mapping[str, Any]) -> None:
        """A log line."""
        text, colour = loglines.line(fields), loglines.colour(fields)
        self._ui.note(self._ui.paint(text, colour, error=True) if colour else text)

    def output(self, data: bytes) -> None:
        """What the predictor wrote, untouched."""
        self._ui.pass_on(data)

    def failed(self, error: MlfuncError) -> None:
        """It does not serve now."""
        self._stop_waiting(succeeded=False)
        self._publish(serves=False)
        self._ui.error(error)
        self._ui.note("waiting for a change; Ctrl-C ends it")

    def changed(self, names: list[str]) -> None:
        """It is started again."""
        self._stop_waiting(succeeded=False)
        self._publish(serves=False)
        more = len(names) - _NAMED_AT_MOST
        named = ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        self._ui.note(f"\n{time.strftime('%H:%M:%S')}  {named} changed: starting again")

    def unwatched(self, reason: str) -> None:
        """It is not started again when a file changes."""
        self._ui.note(f"changes of files are not noticed any more: {reason}")

    def stuck(self, *, restarts: bool) -> None:
        """It answers nothing any more, and runs on, so that one can look at it."""
        change = "a change starts it again; " if restarts else ""
        self._ui.note(f"it answers no more, and is left as it is: {change}Ctrl-C ends it")

    def ending(self) -> None:
        """It drains."""
        self._ending = True
        self._stop_waiting(succeeded=False)

    def cut_off(self, requests: int, hooks: int) -> None:
        """It did not drain to its end."""
        self._stop_waiting(succeeded=False)
        self._ui.note(
            f"ended at once: {_count(requests, 'request')} and {_count(hooks, 'hook')} were in"
            " flight when it began to drain"
        )

    def _publish(self, *, serves: bool) -> None:
        """It serves all the same where others cannot be told of it."""
        if self._publication is None:
            return
        try:
            self._publication.tell(self._name, self._folder, self._url, serves=serves)
        except OSError as error:
            self._publication.close()
            self._publication = None
            reason = f"{error.filename}: {(error.strerror or str(error)).lower()}"
            self._ui.note(f"`mlfunc invoke` finds it by its URL only: {reason}")

    def _stop_waiting(self, *, succeeded: bool) -> None:
        if self._progress is not None:
            if not succeeded:
                self._progress.fail()
            self._progress.close()
            self._progress = None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _reachable(host: str) -> str:
    """What a URL calls the host that is listened on."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - told from others, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
