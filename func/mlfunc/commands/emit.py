"""`mlfunc emit`: send an event to a broker."""

from __future__ import annotations

import datetime
import shlex
import uuid
from typing import TYPE_CHECKING, Any

import click

from mlfunc import events, options
from mlfunc.events import CloudEvent

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cluster.client import Cluster
    from mlfunc.ui import Ui


@click.command("emit")
@click.option("--type", "type_", metavar="TYPE", required=True, help="What has happened.")
@click.option("-d", "--data", metavar="TEXT", help="Its data.")
@options.body_file("Its data")
@click.option("--content-type", metavar="TYPE", help="What the data are, if the guess is wrong.")
@click.option(
    "--source", metavar="URI", default="/mlfunc/emit", show_default=True, help="Where it happened."
)
@click.option("--subject", metavar="TEXT", help="To what.")
@click.option("--id", "id_", metavar="ID", help="Its id.  [default: a new one]")
@click.option(
    "--ext",
    "extensions",
    multiple=True,
    metavar="NAME=VALUE",
    callback=options.pairs,
    help="An extension attribute; repeat it for more.",
)
@click.option("--broker", metavar="NAME", default="default", show_default=True, help="Who gets it.")
@click.option(
    "--count",
    type=options.Number("n", int, 1),
    default=1,
    show_default=True,
    help="Send so many, each with an id of its own.",
)
@options.cluster
@options.folder_if_given
@options.reporting("Show the ids; tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    type_: str,
    data: str | None,
    file: Path | None,
    content_type: str | None,
    source: str,
    subject: str | None,
    id_: str | None,
    extensions: dict[str, str],
    broker: str,
    count: int,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    folder: Path | None,
) -> None:
    """Send an event to a broker, which hands it to all who are subscribed to such.

    On a cluster it goes by way of the API server. Knative's own broker answers only when all who
    get the event have answered.
    """
    from mlfunc.platforms.knative import addressing, emitting

    body = options.body(data, file)
    where = addressing.Where(folder, context, namespace, platform)
    cluster = addressing.cluster_of(where, start="always")
    about = {} if subject is None else {"subject": subject}
    event = CloudEvent(
        type=type_,
        source=source,
        id=id_ or str(uuid.uuid4()),
        data=None if body is None else body.data,
        content_type=content_type or (body.content_type if body else ""),
        extensions={**extensions, **about, "time": _now()},
    )
    envelope = events.to_envelope(event)
    ids = _send(ui, cluster, broker, _numbered(envelope, count))
    told = {"broker": broker, "namespace": cluster.namespace, "type": type_, "ids": ids}
    ui.show(told, human=lambda: _report(ui, cluster, told))
    # A cluster's brokers may know of more than this user may see.
    if cluster.access.named and emitting.takers(cluster, broker, envelope) == []:
        ui.note(f"nobody takes it: {_subscribing(cluster, told)}")


def _send(ui: Ui, cluster: Cluster, broker: str, envelopes: list[dict[str, Any]]) -> list[str]:
    """The ids of those that the broker has."""
    from mlfunc.platforms.knative import emitting

    ids = []
    with ui.progress(f"sending {envelopes[0]['type']}") as progress:
        for sent in emitting.emit(cluster, broker, envelopes):
            ids.append(sent)
            progress.detail(f"{len(ids)} of {len(envelopes)}")
    return ids


def _numbered(envelope: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Two alike would be one event that came twice."""
    return [
        {**envelope, "id": envelope["id"] + (f"-{index}" if index else "")}
        for index in range(count)
    ]


def _report(ui: Ui, cluster: Cluster, told: dict[str, Any]) -> None:
    ids = told["ids"]
    what = f"event {ids[0]}" if len(ids) == 1 else f"{len(ids)} events, {ids[0]} and on,"
    ui.say(f"broker {told['broker']} in {cluster.place} has {what} of type {told['type']}")
    if ui.verbose:
        for each in ids:
            ui.note(each)


def _subscribing(cluster: Cluster, told: dict[str, Any]) -> str:
    """The command that subscribes to it, as it can be typed here."""
    broker, namespace = told["broker"], told["namespace"]
    elsewhere = ["--broker", broker] if broker != "default" else []
    if namespace != cluster.access.namespace:
        elsewhere += ["--namespace", namespace]
    return shlex.join(["mlfunc", "subscribe", "NAME", "--type", told["type"], *elsewhere])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
