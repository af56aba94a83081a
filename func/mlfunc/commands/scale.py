"""`mlfunc scale`: how many instances a function has and why, may have, or would have."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options
from mlfunc.function import Limit, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.rescaling import State, Wish
    from mlfunc.platforms.knative.addressing import Addressed, Where
    from mlfunc.platforms.knative.explaining import Explained, Question
    from mlfunc.ui import Ui

_PREDICTION = "200ms"
_REQUESTS = 20
# What the activator lets wait.
_MOST_REQUESTS = 10_000


@click.command("scale")
@click.argument("name", required=False)
@click.option("--min", "least", type=options.Number("n", int, 0), help="Never fewer.")
@click.option("--max", "most", type=options.Number("n", int, 0), help="Never more; 0: no bound.")
@click.option(
    "--target",
    type=options.Number("requests", float, 0.01),
    help="Requests that one instance should have at once.",
)
@click.option("--revision", metavar="NAME", help="Of this one.  [default: those with requests]")
@click.option("--explain", is_flag=True, help="Change nothing: tell what these would do.")
@click.option(
    "--requests",
    type=options.Number("n", int, 1, _MOST_REQUESTS),
    help=f"Explain it for so many at once.  [default: {_REQUESTS}]",
)
@click.option(
    "--rate", type=options.Number("n", float, 0.01, 1000), help="Explain it for so many a second."
)
@click.option(
    "--prediction",
    type=options.Written("duration", Limit, "200ms, 5s"),
    help="How long one takes, for --explain.  [default: 200ms]",
)
@click.option(
    "--cold-start",
    type=options.Written("duration", Limit, "5s, 2m"),
    help="How long an instance starts.  [default: as the last one did, else 5s]",
)
@options.cluster
@options.folder_if_given
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    least: int | None,
    most: int | None,
    target: float | None,
    revision: str | None,
    explain: bool,
    requests: int | None,
    rate: float | None,
    prediction: str | float | None,
    cold_start: str | float | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
    folder: Path | None,
) -> None:
    """Show how a function is scaled, or scale it: at once, and without a new revision.

    What is changed so holds until the next new revision, which goes by mlfunc.yaml. With --explain
    and without NAME, the function of this folder is explained, and no cluster is asked.
    """
    from mlfunc.knative.explanation import Demand
    from mlfunc.knative.rescaling import Wish
    from mlfunc.platforms.knative import addressing
    from mlfunc.platforms.knative.explaining import Question

    where, wish = addressing.Where(folder, context, namespace, platform), Wish(least, most, target)
    if explain:
        demand = Demand(requests if rate else requests or _REQUESTS, rate)
        takes = seconds(prediction or _PREDICTION)
        starts = seconds(cold_start) if cold_start else None
        _explain(ui, Question(name, where, wish, demand, takes, starts, revision))
        return
    _check_alone(requests=requests, rate=rate, prediction=prediction, cold_start=cold_start)
    at = addressing.find(name, where)
    if wish == Wish():
        _tell(ui, at, revision)
    else:
        _scale(ui, at, wish, where, revision)


def _check_alone(**options: object) -> None:
    for name in (name for name, value in options.items() if value is not None):
        raise click.UsageError(f"--{name.replace('_', '-')} goes with --explain")


def _tell(ui: Ui, at: Addressed, revision: str | None) -> None:
    from mlfunc.platforms.knative import scaling

    states = scaling.states(at, revision)
    ui.show([_state(each) for each in states], human=lambda: _report(ui, states))


def _report(ui: Ui, states: list[State]) -> None:
    headers = ("revision", "traffic", "instances", "wanted", "min", "max", "target", "why")
    ui.table(headers, [_row(each) for each in states])


def _row(state: State) -> tuple[str, ...]:
    policy = state.policy
    numbers = (state.instances, state.wanted, policy.minimum, _most(state))
    target = f"{policy.target:g} of {policy.total:g}"
    return (state.revision, f"{state.percent} %", *map(str, numbers), target, state.why)


def _most(state: State) -> str:
    most = str(state.policy.maximum or "-")
    return f"{state.bound.most} of {most}" if state.bound else most


def _scale(ui: Ui, at: Addressed, wish: Wish, where: Where, revision: str | None) -> None:
    from mlfunc.function import FILE
    from mlfunc.knative import policies, rescaling
    from mlfunc.platforms.knative import explaining, scaling

    scaled = scaling.scale(at, wish, revision)
    own = explaining.project(where)
    is_own = own is not None and own.name == at.name
    template = policies.told_of(own) if own and is_own else scaled.template
    stays = rescaling.differing(wish, template)
    data = {"revisions": [_state(each) for each in scaled.states], "next_revision": stays}
    ui.show(data, human=lambda: _report_scaled(ui, scaled.states, wish))
    for key, value in stays.items():
        source = FILE if is_own else "the Service's template"
        has = f"no {key}" if value is None else f"{key} {value}"
        ui.note(f"the next new revision has {has}: by {source}, which stays as it is")


def _report_scaled(ui: Ui, states: list[State], wish: Wish) -> None:
    from mlfunc.knative import rescaling

    for state in states:
        policy = state.policy
        most = f"at most {policy.maximum}" if policy.maximum else "no bound above"
        ui.say(f"{state.revision}: at least {policy.minimum}, {most}, target {policy.total:g}")
        for note in rescaling.notes(state, wish):
            ui.note(note)


def _explain(ui: Ui, question: Question) -> None:
    from mlfunc.platforms.knative import explaining

    explained = explaining.explain(question)
    ui.show(_explained(explained), human=lambda: _report_explained(ui, explained))


def _report_explained(ui: Ui, explained: Explained) -> None:
    from mlfunc.knative import explanation

    found = explained.explanation
    ui.say(explained.source)
    for name, text in explanation.facts(found):
        ui.say(f"  {ui.paint(f'{name:<14}', 'cyan')}{text}")
    serving = found.serving
    ui.say()
    ui.say(
        f"{found.demand}; a prediction takes {serving.prediction:g} s, "
        f"a cold start {serving.cold_start:g} s:"
    )
    ui.table(explanation.HEADERS, explanation.rows(found))
    ui.say(explanation.summary(found))


def _state(state: State) -> dict[str, Any]:
    found = asdict(state)
    return {**found, "policy": _policy(state.policy)}


def _explained(explained: Explained) -> dict[str, Any]:
    found = explained.explanation
    return {
        "source": explained.source,
        "policy": _policy(found.policy),
        "serving": asdict(found.serving),
        "demand": asdict(found.demand),
        "second_at": _rounded(found.second_at),
        "burst_at": _rounded(found.burst_at),
        "timeline": [asdict(each) for each in found.outcome.timeline],
        "latency": {name: _rounded(value) for name, value in asdict(found.outcome.latency).items()},
        "answered": found.outcome.answered,
        "timed_out": found.outcome.timed_out,
        "idle": found.outcome.idle,
        "instance_seconds": _rounded(found.outcome.instance_seconds),
    }


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "min": policy.minimum,
        "max": policy.maximum,
        "total": policy.total,
        "utilization": policy.utilization,
        "target": _rounded(policy.target),
        "window": policy.window,
        "delay": policy.delay,
        "retention": policy.retention,
    }


def _rounded(value: float) -> float | None:
    """JSON knows no NaN: the latency of no replies."""
    return None if math.isnan(value) else round(value, 6)
