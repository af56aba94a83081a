"""`mlfunc create`: a project from a template."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlfunc import function, options, scaffold

if TYPE_CHECKING:
    from mlfunc.ui import Ui


@click.command("create")
@click.argument("name")
@click.option("-t", "--template", default="plain", show_default=True, help="What to start from.")
@click.option(
    "--path",
    "folder",
    type=click.Path(path_type=Path),
    show_default="./NAME",
    help="Where to put it.",
)
@options.verbose
@click.pass_obj
def command(ui: Ui, name: str, template: str, folder: Path | None) -> None:
    """Make a project called NAME from a template.

    It is complete: `mlfunc run` serves it, `mlfunc test` tests it. `mlfunc templates` lists what
    there is.
    """
    function.check_name(name)
    place = folder or Path(name)
    scaffold.write(scaffold.render(scaffold.find(template), name), place)
    ui.say(f"Created {name} in {place} from the template {template}.")
    ui.note("Next:")
    for step in (f"cd {shlex.quote(str(place))}", "mlfunc run", "mlfunc invoke", "mlfunc test"):
        ui.note(f"  {step}")
