"""`mlfunc delete`: take a function from where it runs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster
    from mlfunc.platforms.knative.removing import Removal
    from mlfunc.ui import Ui


@click.command("delete")
@click.argument("name", required=False)
@click.option("--models", is_flag=True, help="With the volumes that hold its models.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--wait/--no-wait", default=True, help="Until it is gone.  [default: wait]", show_default=False
)
@options.folder_if_given
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    models: bool,
    yes: bool,
    wait: bool,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Delete a function: its Service, with all revisions, and its subscriptions.

    What it answers is answered, and its hooks run, before an instance ends. Images stay in their
    registry.
    """
    from mlfunc.platforms.knative import addressing, removing

    addressed = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    removal = removing.plan(addressed, models=models)
    for line in _lines(removal, addressed.cluster):
        ui.note(line)
    if not yes:
        _ask(removal.name)
    removing.remove(addressed.cluster, removal)
    if wait:
        with ui.progress(f"deleting {removal.name}") as progress:
            removing.wait(addressed.cluster, removal, progress.detail)
    gone = "is gone" if wait else "is being deleted"
    ui.show(_as_data(removal), human=lambda: ui.note(f"{removal.name} {gone}"))


def _instances(count: int) -> str:
    return "1 instance runs" if count == 1 else f"{count} instances run"


def _lines(removal: Removal, cluster: Cluster) -> Iterator[str]:
    """What goes and what stays."""
    where = f"{cluster.namespace} ({cluster.access.where})"
    running = f", {_instances(len(removal.pods))}" if removal.pods else ""
    revisions = f"{len(removal.revisions)} revision" + "s" * (len(removal.revisions) != 1)
    yield f"- Service {removal.name} in {where}: {revisions}{running}"
    yield from (f"- Trigger {name}" for name in removal.triggers)
    yield from (f"- PingSource {name}" for name in removal.pings)
    yield from (f"- PersistentVolumeClaim {name}, with what it holds" for name in removal.claims)
    for name in removal.kept:
        yield f"  PersistentVolumeClaim {name} stays: --models deletes it, too"
    for each in removal.orphans:
        yield f"  {each} is somebody else's: it stays, and its events will find nobody"
    for each in removal.bereaved:
        yield f"  {each} sends its dead letters here: they will find nobody"


def _ask(name: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: --yes deletes it all the same")
    click.confirm(f"delete {name}?", abort=True, err=True)


def _as_data(removal: Removal) -> dict[str, Any]:
    told = asdict(removal)
    told["namespace"] = removal.service["metadata"]["namespace"]
    return {key: value for key, value in told.items() if key != "service"}
