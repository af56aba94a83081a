"""`mlfunc logs`: what the instances of a function say."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.platforms.knative.logs import Line, Selection
    from mlfunc.ui import Ui


@click.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--previous", is_flag=True, help="Of the containers before: why they have ended.")
@click.option(
    "--since", type=options.Duration(0, math.inf), help="No older than that, such as 10m."
)
@click.option(
    "--tail", type=options.Number("lines", int, 0), help="The last so many of each instance."
)
@click.option("--revision", metavar="NAME", help="Of this revision.  [default: of all]")
@click.option(
    "--container",
    metavar="NAME",
    default="user-container",
    show_default=True,
    help="Another of the pod, such as queue-proxy.",
)
@options.folder_if_given
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    follow: bool,
    previous: bool,
    since: float | None,
    tail: int | None,
    revision: str | None,
    container: str,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Show what the instances of a function say, all of them in one.

    With `-o json`, each line is an object. What ended instances have said is gone with them.
    """
    from mlfunc.platforms.knative import addressing, logs, reading

    if follow and previous:
        raise click.UsageError("--previous has ended: there is nothing to --follow")
    selection = logs.Selection(revision, container, previous, since, tail)
    addressed = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    reading.service(addressed)
    if revision is not None:
        reading.revision(addressed, revision)
    if follow:
        _follow(ui, addressed, selection)
    else:
        _show_past(ui, addressed, selection)


def _show_past(ui: Ui, addressed: Addressed, selection: Selection) -> None:
    from mlfunc.platforms.knative import logs

    wanted = logs.topic(addressed.name, selection)
    pods = addressed.cluster.list(wanted.kind, labels=wanted.labels)
    found = logs.sources(pods, selection)
    if not found:
        ui.note(_silence(addressed.name, selection, started=bool(pods)))
    lines = logs.read(addressed.cluster, found, selection)
    _show(ui, lines, several=len({each.pod for each in found}) > 1)


def _follow(ui: Ui, addressed: Addressed, selection: Selection) -> None:
    from mlfunc.knative import diagnosis
    from mlfunc.platforms.knative import logs

    wanted = logs.topic(addressed.name, selection)
    if not diagnosis.staying(addressed.cluster.list(wanted.kind, labels=wanted.labels)):
        ui.note(f"{addressed.name} is scaled to zero: waiting for an instance")
    _show(ui, logs.follow(addressed, selection), several=False)


def _silence(name: str, selection: Selection, *, started: bool) -> str:
    if selection.previous:
        return f"no container of {name} has ended and started again"
    if started:
        return f"the instances of {name} have not started: mlfunc describe {name} tells why"
    return (
        f"{name} is scaled to zero: mlfunc invoke {name} starts an instance, logs -f waits for one"
    )


def _show(ui: Ui, lines: Iterable[Line], *, several: bool) -> None:
    """As soon as there is a second pod, each line says whose it is."""
    seen = set[str]()
    for line in lines:
        seen.add(line.pod)
        if ui.format == "human":
            several = several or len(seen) > 1
            _say(ui, line, f"[{_short(line)}] " if several else "")
        else:
            _print(ui, _as_data(line))


def _say(ui: Ui, line: Line, prefix: str) -> None:
    from mlfunc import loglines

    record = _record(line.text)
    text, colour = line.text, None
    if record is not None:
        text, colour = loglines.line(record), loglines.colour(record)
    ui.say(f"{ui.paint(prefix, 'cyan')}{ui.paint(text, colour) if colour else text}")


def _record(text: str) -> dict[str, Any] | None:
    """A line of the runtime; what a person can do without is left out."""
    from mlfunc import loglines, runner

    said = next(runner.messages([text.encode(errors="replace") + b"\n"]))
    if not isinstance(said, runner.Record):
        return None
    fields = dict(said.fields)
    if startup := fields.pop("startup", None):
        fields["message"] = f"ready after {loglines.startup(startup)}"
    return fields


def _as_data(line: Line) -> dict[str, Any]:
    try:
        record = json.loads(line.text)
    except ValueError:
        record = None
    told = {"record": record} if isinstance(record, dict) else {"text": line.text}
    return {"pod": line.pod, "revision": line.revision, "time": line.time, **told}


def _print(ui: Ui, data: dict[str, Any]) -> None:
    """One line, or one document, for each: a reader has it before the last has come."""
    if ui.format == "json":
        ui.say(json.dumps(data, ensure_ascii=False))
    else:
        import yaml

        ui.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, explicit_start=True))


def _short(line: Line) -> str:
    """`00002-7w75j` of greeter-00002-deployment-88b88d8d4-7w75j."""
    return f"{line.revision.rpartition('-')[2]}-{line.pod.rpartition('-')[2]}"
