"""`mlfunc subscribe`: a function that runs gets events of a broker from now on."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from mlfunc import options
from mlfunc.errors import ClusterFailed
from mlfunc.function import Backoff, Duration, Limit, Sink, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.knative.filters import Filter
    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.platforms.knative.events import Applied
    from mlfunc.ui import Ui

F = TypeVar("F", bound="Callable[..., Any]")

_DEFAULT = Subscription()
_READY_SECONDS = 15.0
_ACTIONS = {"created": "subscribed", "changed": "changed", "kept": "was subscribed already"}


@dataclass(frozen=True)
class Taken:
    """Which events are meant. Where equality is enough, every tool can show it."""

    broker: str
    exact: dict[str, str]
    more: list[Filter]
    named: bool  # any option of it was given

    def as_filters(self) -> dict[str, Any]:
        """The keys of a subscription that say so."""
        if not self.more:
            return {"broker": self.broker, "filter": self.exact}
        exact = [{"exact": self.exact}] if self.exact else []
        return {"broker": self.broker, "filters": [*exact, *self.more]}


def taking(command: F) -> F:
    """`--broker`, `--type` and filters, which the command gets as `taken`."""

    @functools.wraps(command)
    def collected(
        *args: Any,
        broker: str | None,
        type_: str | None,
        exact: dict[str, str],
        prefix: dict[str, str],
        suffix: dict[str, str],
        cesql: str | None,
        **others: Any,
    ) -> Any:
        return command(*args, taken=_taken(broker, type_, exact, prefix, suffix, cesql), **others)

    for option in reversed(_TAKING):
        collected = option(collected)
    return collected  # type: ignore[return-value]  # click calls it, by names


_TAKING = (
    click.option("--broker", metavar="NAME", help="Whose events.  [default: default]"),
    click.option("--type", "type_", metavar="TYPE", help="Events of this type."),
    click.option(
        "--filter",
        "exact",
        multiple=True,
        metavar="NAME=VALUE",
        callback=options.pairs,
        help="Events with this attribute; repeat it for more: all must pass.",
    ),
    click.option(
        "--prefix",
        multiple=True,
        metavar="NAME=TEXT",
        callback=options.pairs,
        help="Events whose attribute begins so.",
    ),
    click.option(
        "--suffix",
        multiple=True,
        metavar="NAME=TEXT",
        callback=options.pairs,
        help="Events whose attribute ends so.",
    ),
    click.option("--cesql", metavar="EXPRESSION", help="Events for which this CESQL is true."),
)


@click.command("subscribe")
@click.argument("name", required=False)
@taking
@click.option(
    "--retry",
    type=options.Number("n", int, 0),
    default=_DEFAULT.retry,
    show_default=True,
    help="How often a delivery that failed is tried again.",
)
@click.option(
    "--backoff",
    type=click.Choice(["exponential", "linear"]),
    default=_DEFAULT.backoff.policy,
    show_default=True,
    help="How the pauses between tries grow.",
)
@click.option(
    "--delay",
    type=options.Written("duration", Duration, "200ms, 5s"),
    default=_DEFAULT.backoff.delay,
    show_default=True,
    help="The first pause.",
)
@click.option(
    "--timeout",
    type=options.Written("duration", Limit, "30s, 2m"),
    help="How long one try may take.",
)
@click.option(
    "--dead-letter",
    metavar="SINK",
    type=options.Written("sink", Sink, "ksvc:NAME, broker:NAME, channel:NAME, svc:NAME or a URL"),
    help="Where events go that no try delivered: ksvc:NAME, broker:NAME, a URL.",
)
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=False,
    help="Until it gets events.  [default: wait]",
)
@options.cluster
@options.folder_if_given
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    taken: Taken,
    retry: int,
    backoff: Literal["exponential", "linear"],
    delay: str | float,
    timeout: str | float | None,
    dead_letter: str | None,
    wait: bool,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    folder: Path | None,
) -> None:
    """Have a function that runs get events, from now on.

    NAME is the function's; without, it is the one of this folder. It stays subscribed, whatever is
    deployed, until `mlfunc unsubscribe`. What belongs to the function, write in its mlfunc.yaml.
    """
    from mlfunc.platforms.knative import addressing, events

    wanted = Subscription(
        **taken.as_filters(),
        retry=retry,
        backoff=Backoff(backoff, delay),
        timeout=timeout,
        dead_letter=dead_letter,
    )
    at = addressing.find(name, addressing.Where(folder, context, namespace, platform))
    applied = events.subscribe(at, wanted)
    if wait and not applied.subscribed.ready:
        applied = _wait(ui, at, applied)
    ui.show(_as_data(applied), human=lambda: _report(ui, at.name, applied))
    if wait and not applied.subscribed.ready:
        message = f"{at.name} gets no events yet: {applied.subscribed.reason}"
        raise ClusterFailed(message, applied.subscribed.hint or f"mlfunc events {at.name}")


def _wait(ui: Ui, at: Addressed, applied: Applied) -> Applied:
    from mlfunc.platforms.knative import events

    with ui.progress("waiting for its events"):
        found = events.wait(at, applied.subscribed, _READY_SECONDS)
    return replace(applied, subscribed=found)


def _report(ui: Ui, function: str, applied: Applied) -> None:
    found = applied.subscribed
    ui.say(
        f"{function} {_ACTIONS[applied.action]}: {found.takes} of broker {found.broker}"
        f" ({found.trigger})"
    )
    if applied.note:
        ui.note(applied.note)


def _as_data(applied: Applied) -> dict[str, Any]:
    return {"action": applied.action, "note": applied.note, **asdict(applied.subscribed)}


def _taken(
    broker: str | None,
    type_: str | None,
    exact: dict[str, str],
    prefix: dict[str, str],
    suffix: dict[str, str],
    cesql: str | None,
) -> Taken:
    if type_ is not None and exact.get("type", type_) != type_:
        raise click.UsageError("--type and --filter type=... name two types: give one")
    exact = exact if type_ is None else {"type": type_, **exact}
    each = {"prefix": prefix, "suffix": suffix, "cesql": cesql}
    more = [{dialect: value} for dialect, value in each.items() if value]
    return Taken(broker or "default", exact, more, bool(broker or exact or more))
