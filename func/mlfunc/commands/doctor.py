"""`mlfunc doctor`: what this machine and its cluster have and lack, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mlfunc import checkup, options
from mlfunc.errors import MlfuncError
from mlfunc.ui import Ui, columns

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.checkup import Check

_COLOURS = {"warn": "yellow", "fail": "red"}


@click.command("doctor")
@options.folder_if_given
@options.kubeconfig
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    callback=options.namespace_name,
    help="Of the cluster.",
)
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(ui: Ui, folder: Path | None, context: str | None, namespace: str | None) -> None:
    """Check what this machine and its cluster have and lack. It ends with 1 when a check fails."""
    checks = checkup.examine(folder, context, namespace)
    ui.show([asdict(check) for check in checks], human=lambda: _report(ui, checks))
    failed = [check.name for check in checks if check.verdict == "fail"]
    if failed:
        raise MlfuncError(f"failed: {', '.join(failed)}")


def _report(ui: Ui, checks: list[Check]) -> None:
    rows = [(check.name, check.needed_by, check.verdict, check.detail) for check in checks]
    header, *lines = columns(("check", "needed by", "verdict", "detail"), rows, ui.width())
    ui.say(header)
    for check, line in zip(checks, lines, strict=True):
        ui.say(line if check.verdict == "ok" else ui.paint(line, _COLOURS[check.verdict]))
        if check.fix:
            ui.say(f"    fix: {check.fix}")
