"""`mlfunc traffic`: who gets the requests."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cluster.client import Object
    from mlfunc.knative.traffic import Share, Wish
    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.ui import Ui


@click.command("traffic")
@click.argument("arguments", nargs=-1, metavar="[NAME] [REVISION=PERCENT]...")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG=REVISION",
    callback=options.pairs,
    help="A name for a revision, with a URL of its own; repeat it for more.",
)
@click.option("--untag", multiple=True, metavar="TAG", help="Take a name away.")
@click.option("--promote", is_flag=True, help="All requests to the newest revision that is ready.")
@options.folder_if_given
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    arguments: tuple[str, ...],
    tags: dict[str, str],
    untag: tuple[str, ...],
    promote: bool,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Show which revisions get the requests, or change it.

    A revision goes by its name, by a tag, or by `latest`, which is whichever is the newest. The
    percents have to sum up to 100; tags that are not named stay.

    \b
        mlfunc traffic greeter greeter-00001=90 latest=10 --tag canary=latest
        mlfunc traffic greeter --promote --untag canary
    """
    from mlfunc.knative import traffic
    from mlfunc.platforms.knative import addressing, reading

    name, shares = _split(arguments)
    if promote and shares:
        raise click.UsageError("--promote gives all requests to one: name no other share")
    wish = traffic.Wish({traffic.LATEST: 100} if promote else shares, tags, untag)
    addressed = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    service = reading.service(addressed)
    if wish.shares or tags or untag:
        service = _change(ui, addressed, service, wish)
    found = traffic.shares(service)
    data = {"name": addressed.name, "namespace": addressed.cluster.namespace}
    ui.show({**data, "traffic": [asdict(each) for each in found]}, lambda: _report(ui, found))


def _change(ui: Ui, addressed: Addressed, service: Object, wish: Wish) -> Object:
    from mlfunc.knative import traffic
    from mlfunc.platforms.knative import reading, routing

    targets = traffic.change(service, reading.revisions(addressed), wish)
    with ui.progress(f"routing {addressed.name}"):
        return routing.route(addressed.cluster, service, targets)


def _split(arguments: tuple[str, ...]) -> tuple[str | None, dict[str, int]]:
    """The name, which comes first if at all, and percent by revision."""
    name = arguments[0] if arguments and "=" not in arguments[0] else None
    shares = dict(_share(each) for each in arguments[1 if name else 0 :])
    return name, shares


def _share(text: str) -> tuple[str, int]:
    revision, _, percent = text.partition("=")
    number = percent.removesuffix("%").strip()
    if not revision or not number.isdecimal() or int(number) > 100:
        message = f"{text} is not of the form REVISION=PERCENT, from 0 to 100"
        raise click.UsageError(message)
    return revision, int(number)


def _report(ui: Ui, found: list[Share]) -> None:
    if not found:
        ui.note("it has no revision yet that could get requests")
        return
    ui.table(("revision", "traffic", "tag", "url"), [_row(each) for each in found])


def _row(each: Share) -> tuple[Any, ...]:
    name = f"{each.revision} (latest)" if each.follows else each.revision
    return (name, f"{each.percent} %", each.tag or "-", each.url or "-")
