"""`mlfunc list`: the functions of a namespace, or of the whole platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from mlfunc.knative.overview import Summary
    from mlfunc.ui import Ui

_HEADERS = (
    "name",
    "namespace",
    "ready",
    "revision",
    "instances",
    "models",
    "accelerator",
    "concurrency",
    "url",
)


@click.command("list")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of the whole platform.")
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui, everywhere: bool, platform: str | None, context: str | None, namespace: str | None
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
    ui.show(shown, human=lambda: _report(ui, found, none))


def _report(ui: Ui, found: list[Summary], none: tuple[str, str]) -> None:
    if not found:
        for line in none:
            ui.note(line)
        return
    ui.table(_HEADERS, [_row(each) for each in found])
    for each in found:
        if each.message:
            ui.note(f"{each.name} in {each.namespace}: {each.message}")


def _row(each: Summary) -> tuple[str, ...]:
    return (
        each.name if each.origin == "mlfunc" else f"{each.name} ({_maker(each)})",
        each.namespace,
        each.reason or "yes",
        each.revision or "-",
        str(each.instances),
        ", ".join(model.name for model in each.models) or "-",
        each.accelerator,
        str(each.concurrency or "any"),
        each.url or "-",
    )


def _maker(each: Summary) -> str:
    return "func" if each.origin == "func" else "Knative"


def _as_data(each: Summary, deployer: str) -> dict[str, Any]:
    """The keys that `func list -o json` has, with the same values, and ours after them."""
    return {
        "name": each.name,
        "namespace": each.namespace,
        "runtime": each.runtime,
        "url": each.url,
        "ready": each.ready,
        "deployer": deployer,
        "replicas": each.instances,
        "origin": each.origin,
        "reason": each.reason or None,
        "message": each.message or None,
        "revision": each.revision or None,
        "models": [model.name for model in each.models],
        "accelerator": each.accelerator,
        "concurrency": each.concurrency,
    }
