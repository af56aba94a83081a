"""`mlfunc rollback`: back to the revision that served before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cluster.client import Object
    from mlfunc.ui import Ui


@click.command("rollback")
@click.argument("name", required=False)
@click.option("--to", metavar="REVISION", help="This one, by its name or a tag.")
@options.folder_if_given
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    to: str | None,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Send all requests to the revision that served before the present one.

    It stays so until the next deployment of something new, or `mlfunc traffic --promote`.
    """
    from mlfunc.knative import traffic
    from mlfunc.platforms.knative import addressing, reading, routing

    addressed = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    service, revisions = reading.service(addressed), reading.revisions(addressed)
    before = [each.revision for each in traffic.shares(service) if each.percent]
    revision = traffic.previous(service, revisions, to=to)
    targets = traffic.back_to(service, revisions, revision)
    with ui.progress(f"routing {addressed.name}"):
        routing.route(addressed.cluster, service, targets)
    data = _as_data(addressed.name, before, revision)
    ui.show(data, human=lambda: _report(ui, data))


def _as_data(name: str, before: list[str], revision: Object) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": revision["metadata"]["namespace"],
        "revision": revision["metadata"]["name"],
        "created": revision["metadata"]["creationTimestamp"],
        "image": revision["spec"]["containers"][0]["image"],
        "before": before,
    }


def _report(ui: Ui, data: dict[str, Any]) -> None:
    others = [each for each in data["before"] if each != data["revision"]]
    rest = f", {' and '.join(others)} none any more" if others else ", as before"
    ui.say(f"{data['revision']}, made at {data['created']}, gets all requests{rest}")
    ui.say(f"image {data['image']}")
    ui.note("the next `mlfunc deploy` that changes something sends them to its new revision")
