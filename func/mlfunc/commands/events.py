"""`mlfunc events`: what events a function gets and answers with; and events as they pass."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options
from mlfunc.ui import printable

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.platforms.knative.events import Overview
    from mlfunc.platforms.knative.outcomes import Outcome
    from mlfunc.ui import Ui


@click.command("events")
@click.argument("name", required=False)
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Show events as they pass and what becomes of each: all of a namespace, or those of NAME."
    " On the local platform.",
)
@options.cluster
@options.folder_if_given
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    watch: bool,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    folder: Path | None,
) -> None:
    """Show what events a function gets, and what it answers with.

    NAME is the function's; without, it is the one of this folder. On the local platform, it tells
    how many events were delivered and lost, and how the last try failed. With --watch, events are
    shown as they pass, until it is interrupted; with `-o json`, each line is an object.
    """
    from mlfunc.platforms.knative import addressing, events, passing

    where = addressing.Where(folder, context, namespace, platform)
    if watch:
        for step in passing.watch(where, name):
            _tell(ui, step)
        return
    found = events.overview(addressing.find(name, where))
    ui.show(asdict(found), human=lambda: _report(ui, found))


def _tell(ui: Ui, step: dict[str, Any]) -> None:
    from mlfunc.platforms.knative import passing

    if ui.format == "human":
        ui.say(printable(passing.line(step)))  # whoever sends events is not the one who looks
    else:
        ui.say(json.dumps(step, ensure_ascii=False))


def _report(ui: Ui, found: Overview) -> None:
    if found.subscriptions:
        header = ("trigger", "ready", "broker", "retries", "dead letters", "origin", "takes")
        ui.table(header, [_row(each) for each in found.subscriptions])
    else:
        ui.say(f"{found.name} is subscribed to nothing")
        ui.note(
            f"mlfunc subscribe {found.name} --type TYPE, or events.subscriptions in mlfunc.yaml"
        )
    for each in found.schedules:
        ui.say(f"schedule: {each}")
    ui.say(f"replies: {found.reply_type}")
    if found.outcomes:
        _count(ui, found.name, found.outcomes)
    for subscribed in found.subscriptions:
        _explain(ui, subscribed)


def _row(each: Subscribed) -> tuple[str, ...]:
    retries = "the broker's" if each.retry is None else str(each.retry)
    return (
        each.trigger,
        "yes" if each.ready else "no",
        each.broker,
        retries if each.backoff is None else f"{retries}, {each.backoff}",
        each.dead_letter or "-",
        each.origin,
        each.takes,
    )


def _count(ui: Ui, name: str, outcomes: list[Outcome]) -> None:
    header = ("events of", "delivered", "dead letters", "lost", "waiting", "failed tries")
    ui.table(header, [_counts(each) for each in outcomes])
    for each in outcomes:
        if each.failure:  # whoever sends events is not the one who looks
            ui.say(printable(f"{each.source}: failed last at {each.failure}"))
    if any(each.lost for each in outcomes):
        hint = f"mlfunc logs {name}; a subscription's dead_letter keeps what would be lost"
        ui.note(f"{ui.paint('  try:', 'cyan', error=True)} {hint}")


def _counts(each: Outcome) -> tuple[str, ...]:
    counts = (each.delivered, each.dead, each.lost, each.waiting, each.failed)
    return (each.source, *map(str, counts))


def _explain(ui: Ui, each: Subscribed) -> None:
    if each.reason:
        ui.note(f"{ui.paint(each.trigger, 'yellow', error=True)}: {each.reason}")
    if each.hint:
        ui.note(f"{ui.paint('  try:', 'cyan', error=True)} {each.hint}")
