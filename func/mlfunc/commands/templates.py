"""`mlfunc templates`: what `mlfunc create` can start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlfunc import options, scaffold

if TYPE_CHECKING:
    from mlfunc.ui import Ui


@click.command("templates")
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(ui: Ui) -> None:
    """List the templates."""
    found = scaffold.templates()
    ui.show(
        [{"name": template.name, "summary": template.summary} for template in found],
        human=lambda: ui.table(("name", "summary"), [(t.name, t.summary) for t in found]),
    )
