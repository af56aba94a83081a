"""`mlfunc invoke`: send a function a request or an event, and show what it answers."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from mlfunc import events, load, options, payload, replies
from mlfunc.client import Request
from mlfunc.errors import FunctionFailed
from mlfunc.platforms import finding
from mlfunc.platforms.knative import attending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.client import Stream
    from mlfunc.load import Summary
    from mlfunc.platforms.finding import Place
    from mlfunc.ui import Ui

T = TypeVar("T")

_BY_API_SERVER = "these figures are of the API server, too: --ingress URL goes past it"


@click.command("invoke")
@click.argument("target", required=False, metavar="[NAME|URL]")
@click.option("-d", "--data", metavar="TEXT", help="The body, as it is written.")
@options.body_file("The body")
@click.option("--content-type", metavar="TYPE", help="What the body is, where the guess is wrong.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    callback=options.headers,
    help="A header; repeat it for more.",
)
@click.option("--event", is_flag=True, help="Send a CloudEvent instead of a plain request.")
@click.option(
    "--type",
    "type_",
    metavar="TYPE",
    help="The event's type; implies --event.  [default: dev.mlfunc.invoke]",
)
@click.option(
    "--source",
    metavar="URI",
    help="The event's source; implies --event.  [default: /mlfunc/invoke]",
)
@click.option(
    "--id", "id_", metavar="ID", help="The event's id; implies --event.  [default: a new one]"
)
@click.option(
    "--ext",
    "extensions",
    multiple=True,
    metavar="NAME=VALUE",
    callback=options.pairs,
    help="An extension attribute of the event; repeat it for more; implies --event.",
)
@click.option(
    "--timeout",
    type=options.Duration(0.001),
    default="60s",
    show_default=True,
    help="How long to wait for the reply, and between its parts.",
)
@click.option(
    "-n",
    "--requests",
    "number",
    type=options.Number("n", int, 1, otherwise="of a namespace, say --namespace"),
    help="Send so many, and show the figures.",
)
@click.option(
    "-c",
    "--clients",
    "concurrency",
    type=options.Number("n", int, 1, 1000),
    help="So many at once, with --requests.  [default: 1]",
)
@click.option("--tag", metavar="TAG", help="Of a deployed function, the revision with it.")
@click.option(
    "--ingress",
    metavar="URL",
    help="Where its cluster takes requests."
    "  [default: $MLFUNC_INGRESS, else it is looked for, else the API server passes them on]",
)
@options.folder_if_given
@options.platform
@options.kubeconfig
@click.option(
    "--namespace",
    metavar="NAME",
    callback=options.namespace_name,
    help="Where it is.  [default: as for `mlfunc describe`]",
)
@options.reporting("Show status, headers and where the time went; tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    target: str | None,
    data: str | None,
    file: Path | None,
    content_type: str | None,
    headers: dict[str, str],
    event: bool,
    type_: str | None,
    source: str | None,
    id_: str | None,
    extensions: dict[str, str],
    timeout: float,
    number: int | None,
    concurrency: int | None,
    tag: str | None,
    ingress: str | None,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Send a function a request, or with --event an event.

    It goes to a URL, or to the function of that name, or of this folder: to one that runs here,
    else to the one that is deployed. Without a body, the function's own example is sent.
    """
    if concurrency and number is None:
        raise click.UsageError("--clients is for many requests: say how many with --requests")
    place = finding.find(finding.Asked(target, folder, context, namespace, tag, ingress, platform))
    patience = _Patience(ui, place)
    with place.way.connect(timeout) as connection:
        if ui.verbose and place.reached is not None:
            ui.note(f"to {connection.url}")
        body = options.body(data, file) or patience.answered(partial(payload.example, connection))
        kind = content_type or body.content_type

        def request(index: int) -> Request:
            if not (event or type_ or source or id_ or extensions):
                return Request("POST", {"content-type": kind, **headers}, body.data)
            # Each needs an id of its own: two alike are one event that came twice.
            identity = (id_ or str(uuid.uuid4())) + (f"-{index}" if id_ and index else "")
            cloud_event = events.CloudEvent(
                type=type_ or "dev.mlfunc.invoke",
                source=source or "/mlfunc/invoke",
                id=identity,
                data=body.data,
                content_type=kind,
                extensions=extensions,
            )
            return events.to_request(cloud_event, headers)

        if number is None:
            with patience.answered(partial(connection.open, request(0))) as stream:
                _show(ui, stream, place)
        else:
            at_once = concurrency or 1
            _measure(ui, place, request, number=number, concurrency=at_once, timeout=timeout)


@dataclass
class _Patience:
    """For the first reply: it says what is waited for, where that is more than a reply."""

    ui: Ui
    place: Place
    came: bool = False

    def answered(self, ask: Callable[[], T]) -> T:
        """What `ask` gives, or why no instance comes that could give it."""
        reached = self.place.reached
        if self.came or reached is None or not self.place.is_cold:
            return ask()
        with self.ui.progress(f"waiting for an instance of {reached.revision}") as progress:
            found = attending.answered(reached, ask, progress.detail)
        self.came = True
        return found


def _show(ui: Ui, stream: Stream, place: Place) -> None:
    replies.show(ui, stream)
    if ui.verbose and place.reached is not None and place.is_cold:
        ui.note(f"  cold start  {place.reached.start() or 'its log does not tell'}")


def _measure(
    ui: Ui,
    place: Place,
    request: Callable[[int], Request],
    *,
    number: int,
    concurrency: int,
    timeout: float,
) -> None:
    with ui.progress(f"asking {number} times, {concurrency} at once") as progress:
        summary = load.run(
            partial(place.way.connect, timeout),
            request,
            number=number,
            concurrency=concurrency,
            report=lambda count: progress.detail(f"{count} answered"),
        )
        if summary.interrupted:
            progress.fail()
    ui.show(asdict(summary), human=lambda: _report(ui, summary))
    if place.way.wire:
        ui.note(_BY_API_SERVER)
    if summary.interrupted:
        raise KeyboardInterrupt
    failed = sum(summary.errors.values())
    if failed:
        message = f"{failed} of {summary.requests} requests failed"
        raise FunctionFailed(message, f"mlfunc logs{_named(place)} may tell why")


def _named(place: Place) -> str:
    return f" {place.reached.addressed.name}" if place.reached else ""


def _report(ui: Ui, summary: Summary) -> None:
    ui.say(f"{summary.requests} requests in {summary.seconds:.2f} s: {summary.per_second:.1f}/s")
    times = {
        "p50": summary.p50_ms,
        "p95": summary.p95_ms,
        "p99": summary.p99_ms,
        "max": summary.max_ms,
    }
    shown = [f"{name} {value:.1f} ms" for name, value in times.items() if value is not None]
    if shown:
        ui.say("  ".join(shown))
    for outcome, count in summary.errors.items():
        ui.say(ui.paint(f"{count} x {outcome}", "red"))
    if summary.first_error:
        ui.say(f"the first: {summary.first_error}")
