"""`mlfunc list`: the functions of a namespace, or of the whole platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlfunc.knative.overview import Summary
    from mlfunc.ui import Ui

_HEADERS = ("name", "namespace", "ready", "revision", "instances", "url")
_WIDE = ("age", "models", "accelerator", "concurrency")


@click.command("list")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of the whole platform.")
@click.option("--wide", is_flag=True, help="Also age, models, accelerator and concurrency of each.")
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    everywhere: bool,
    wide: bool,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """List the functions of a namespace, and whether each is ready.

    Services that func or kn made are listed, too, and marked.
    """
    from mlfunc.platforms.knative import addressing, reading

    where = addressing.Where(None, context, namespace, platform)
    cluster, deployer = addressing.cluster_of(where), where.chosen().name
    found = reading.functions(cluster, everywhere=everywhere)
    place = f"on {cluster.access.title}" if everywhere else f"in {cluster.place}"
    other = "" if everywhere else "; `mlfunc list -A` looks everywhere"
    if not found and not everywhere and reading.has_no_namespace(cluster):
        place += ": there is no such namespace"
    none = (f"no function {place}", f"deploy one with `mlfunc deploy`, in its folder{other}")
    shown = [_as_data(each, deployer) for each in found]
    ui.show(shown, human=lambda: _report(ui, found, none, _hidden(everywhere, wide)))


def _hidden(everywhere: bool, wide: bool) -> frozenset[str]:
    """The columns that are not asked for: 80 characters hold no more."""
    return frozenset((*(() if wide else _WIDE), *(() if everywhere else ("namespace",))))


def _report(ui: Ui, found: list[Summary], none: tuple[str, str], hidden: Collection[str]) -> None:
    if not found:
        for line in none:
            ui.note(line)
        return
    rows = [_row(each) for each in found]
    headers = [each for each in (*_HEADERS[:-1], *_WIDE, _HEADERS[-1]) if each not in hidden]
    ui.table(headers, [[row[each] for each in headers] for row in rows])
    for each in found:
        if each.message:
            ui.note(f"{each.name} in {each.namespace}: {each.message}")


def _row(each: Summary) -> dict[str, str]:
    from mlfunc.commands.describe import ago

    return {
        "name": each.name if each.origin == "mlfunc" else f"{each.name} ({_maker(each)})",
        "namespace": each.namespace,
        "ready": each.reason or "yes",
        "revision": _revisions(each),
        "instances": str(each.instances),
        "age": ago(each.created),
        "models": ", ".join(model.name for model in each.models) or "-",
        "accelerator": each.accelerator,
        "concurrency": str(each.concurrency or "any"),
        "url": each.url or "-",
    }


def _revisions(each: Summary) -> str:
    """The one that serves; where there are others, what it gets, and how many there are."""
    others = len(each.shares) - 1
    if others < 1:
        return each.revision or "-"
    return f"{each.revision} {each.shares[each.revision]} %, +{others}"


def _maker(each: Summary) -> str:
    return "func" if each.origin == "func" else "Knative"


def _as_data(each: Summary, deployer: str) -> dict[str, Any]:
    """The keys that `func list -o json` has, and ours after them; there `ready` is a text."""
    return {
        "name": each.name,
        "namespace": each.namespace,
        "runtime": each.runtime,
        "url": each.url,
        "ready": each.ready == "True",
        "deployer": deployer,
        "replicas": each.instances,
        "origin": each.origin,
        "reason": each.reason or None,
        "message": each.message or None,
        "revision": each.revision or None,
        "traffic": dict(each.shares),
        "created": each.created,
        "models": [model.name for model in each.models],
        "accelerator": each.accelerator,
        "concurrency": each.concurrency,
    }
