"""`mlfunc deploy`: the function brought to where it runs, and its events routed to it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, get_args

import click

from mlfunc import options, plan
from mlfunc.errors import MlfuncError
from mlfunc.function import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlfunc.cluster.client import Object
    from mlfunc.plan import Change, Difference
    from mlfunc.platforms.knative.deploying import Deployed, Request
    from mlfunc.platforms.platform import Name
    from mlfunc.ui import Ui

_SIGNS = {"create": "+", "update": "~", "delete": "-", "keep": " "}
_UNDONE: Mapping[Name, str] = {
    "knative": "nothing was pushed",
    "local": "nothing was copied or started",
}


@click.command("deploy")
@options.folder
@options.cluster
@click.option("--registry", metavar="ADDRESS", help="Where to push to: registry.example.com/team.")
@click.option(
    "--image",
    metavar="NAME",
    help="The image's whole name; with a digest, that one is deployed and nothing is built.",
)
@click.option(
    "--build-platform",
    type=click.Choice(get_args(Platform)),
    help="What it is built for.  [default: `build.platform`, else linux/amd64]",
)
@click.option("--upgrade", is_flag=True, help="Take the newest base, packages and models.")
@click.option("--locked", is_flag=True, help="Fail where mlfunc.lock would change.")
@click.option(
    "--insecure", is_flag=True, help="Take any certificate of the registry, or plain HTTP."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Build it, push nothing, and show what would change.",
)
@click.option(
    "--wait/--no-wait", default=True, help="Until it answers.  [default: wait]", show_default=False
)
@click.option(
    "--timeout",
    type=options.Duration(1),
    help="How long to wait.  [default: as long as Knative lets it start]",
)
@click.option(
    "--traffic",
    "percent",
    type=options.Number("percent", int, 0, 100),
    help="Requests for the new revision; the others keep what is left.  [default: 100]",
)
@click.option(
    "--tag",
    metavar="NAME",
    callback=options.label,
    help="A name for the new revision, with a URL of its own.",
)
@click.option("--force", is_flag=True, help="Take over what others, such as kn, have changed.")
@options.reporting("Show what is started, and tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    folder: Path,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    registry: str | None,
    image: str | None,
    build_platform: Platform | None,
    upgrade: bool,
    locked: bool,
    insecure: bool,
    dry_run: bool,
    wait: bool,
    timeout: float | None,
    percent: int | None,
    tag: str | None,
    force: bool,
) -> None:
    """Have the function run: here, or by Knative where a cluster is configured.

    A cluster gets an image of it, which is built and pushed. The local platform (--platform local)
    starts it from its own files, and needs none of --registry, --image and their like. Where
    nothing has changed, nothing happens. With --dry-run, `-o yaml` prints the manifests.
    """
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.platforms.knative.addressing import Where
    from mlfunc.platforms.knative.deploying import Request
    from mlfunc.platforms.knative.planning import Wish

    build = Build(
        folder=folder,
        image=image,
        registry=registry,
        platform=build_platform,
        upgrade=upgrade,
        locked=locked,
        insecure=insecure,
    )
    where = Where(folder, context, namespace, platform)
    wish = Wish(percent, tag, force)
    _deploy(ui, Request(build, where, wish, dry_run, wait, timeout))


def _deploy(ui: Ui, request: Request) -> None:
    from mlfunc.builder.assembly import Workshop
    from mlfunc.commands.build import Screen
    from mlfunc.layers import store
    from mlfunc.platforms.knative import deploying

    limit = store.limit()
    with store.opened() as opened:
        with _telling(ui), Screen(ui) as screen:
            deployed = deploying.deploy(request, Workshop(opened, screen))
        opened.prune(limit)
    if request.dry_run and ui.format == "yaml":
        _print_manifests(ui, deployed)
    else:
        ui.show(_as_data(deployed), human=lambda: _report(ui, request, deployed))


@contextlib.contextmanager
def _telling(ui: Ui) -> Iterator[None]:
    """Programs that read the result get one of a failure, too."""
    try:
        yield
    except MlfuncError as error:
        ui.show({"ready": False, "error": error.as_data()}, human=lambda: None)
        raise


def _print_manifests(ui: Ui, deployed: Deployed) -> None:
    import yaml

    from mlfunc.knative import remembering

    changes = deployed.planned.plan.changes
    manifests = [remembering.without(each.manifest) for each in changes if each.manifest]
    ui.write(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True))


def _report(ui: Ui, request: Request, deployed: Deployed) -> None:
    from mlfunc.knative import overview

    for note in deployed.notes:
        ui.note(note)
    for change in deployed.planned.plan.changes:
        _show(ui, change)
    if deployed.service is None:
        ui.note(_foreseen(deployed, request.where.chosen().name))
        return
    ui.note(_summary(deployed, deployed.service))
    if url := overview.url(deployed.service):
        ui.say(ui.paint(url, "bold"))


def _foreseen(deployed: Deployed, platform: Name) -> str:
    would = f"{deployed.release.name} would stay as it is; "
    unchanged = deployed.planned.plan.changes_nothing
    was = f"this was a dry run: {_UNDONE[platform]}, and nothing is changed"
    return f"{would if unchanged else ''}{was}"


def _summary(deployed: Deployed, service: Object) -> str:
    from mlfunc.knative import diagnosis

    name = deployed.release.name
    if not deployed.planned.brings_revision:
        has = "has not changed" if deployed.planned.plan.changes_nothing else "is changed"
        return f"{name} {has}: no new revision{_unserved(service)}"
    if not diagnosis.is_ready(service):
        return f"{name} is applied, and nobody waits: mlfunc describe {name} shows how far it is"
    revision = service["status"]["latestReadyRevisionName"]
    return f"deployed {revision} to {deployed.place} in {deployed.seconds:.1f} s"


def _unserved(service: Object) -> str:
    """What a rollback has left so, and a deployment without a new revision leaves as it is."""
    from mlfunc.knative import traffic

    newest = service.get("status", {}).get("latestReadyRevisionName")
    shares = traffic.shares(service)
    if not shares or any(each.percent and each.revision == newest for each in shares):
        return ""
    name = service["metadata"]["name"]
    return f"; {newest} gets no requests: mlfunc traffic {name} --promote gives it all"


def _show(ui: Ui, change: Change) -> None:
    if change.action == "keep":
        return
    ui.note(f"{_SIGNS[change.action]} {change.kind} {change.name}")
    for each in change.differences:
        ui.note(f"    {each.path}: {_difference(each)}")


def _difference(each: Difference) -> str:
    before, after = plan.shown(each.before), plan.shown(each.after)
    if each.before is None:
        return f"+ {after}"
    return f"- {before}" if each.after is None else f"{before} -> {after}"


def _as_data(deployed: Deployed) -> dict[str, Any]:
    from mlfunc.knative import diagnosis, overview

    service = deployed.service or {"metadata": {}}
    status = service.get("status", {})
    return {
        "name": deployed.release.name,
        "namespace": deployed.release.namespace,
        "image": deployed.release.image,
        "url": overview.url(service) or None,
        # What a Service says before Knative has seen it is of the revision before.
        "revision": status.get("latestCreatedRevisionName")
        if diagnosis.is_observed(service)
        else None,
        "ready": diagnosis.is_ready(service),
        "new_revision": deployed.planned.brings_revision,
        "applied": deployed.service is not None,
        "seconds": round(deployed.seconds, 3),
        "notes": list(deployed.notes),
        "changes": [_change(each) for each in deployed.planned.plan.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    told = dataclasses.asdict(change)
    return {key: told[key] for key in ("action", "kind", "name", "differences")}
