"""`mlfunc unsubscribe`: a function gets events no more."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mlfunc import options
from mlfunc.commands.subscribe import taking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.commands.subscribe import Taken
    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.ui import Ui


@click.command("unsubscribe")
@click.argument("name", required=False)
@taking
@click.option("--trigger", metavar="TRIGGER", help="The one of this name: mlfunc events has them.")
@click.option("--all", "everything", is_flag=True, help="All that mlfunc subscribe made.")
@options.cluster
@options.folder_if_given
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    taken: Taken,
    trigger: str | None,
    everything: bool,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    folder: Path | None,
) -> None:
    """Have a function get events no more.

    Say which as you said to `mlfunc subscribe`, or by the Trigger's name. One of mlfunc.yaml comes
    back with the next deploy: take it out there.
    """
    from mlfunc.platforms.knative import addressing, events

    if sum((taken.named, trigger is not None, everything)) != 1:
        raise click.UsageError("say which: with --type and others, with --trigger, or with --all")
    at = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    gone = events.unsubscribe(at, _chosen(taken, trigger, everything=everything))
    ui.show([asdict(each) for each in gone], human=lambda: _report(ui, at.name, gone))


def _chosen(taken: Taken, trigger: str | None, *, everything: bool) -> Callable[[Subscribed], bool]:
    if everything:
        return lambda each: each.origin == "mlfunc subscribe"
    if trigger is not None:
        return lambda each: each.trigger == trigger
    from mlfunc.knative import triggers

    given = taken.as_filters()
    key = triggers.key(taken.broker, given.get("filter", {}), given.get("filters", []))
    return lambda each: each.key == key


def _report(ui: Ui, function: str, gone: list[Subscribed]) -> None:
    for each in gone:
        ui.say(f"{function} unsubscribed: {each.takes} of broker {each.broker} ({each.trigger})")
        if each.origin == "mlfunc.yaml":
            ui.note("mlfunc.yaml still has it: the next deploy brings it back")
