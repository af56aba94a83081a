"""`mlfunc create`: a project from a template."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlfunc import function, options, scaffold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.ui import Ui


@click.command("create")
@click.argument("name")
@click.option(
    "-t",
    "--template",
    default="plain",
    show_default=True,
    metavar="TEMPLATE",
    help="What to start from.",
)
@click.option(
    "--path",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The project's own folder.  [default: ./NAME]",
)
@options.verbose("Show tracebacks.")
@click.pass_obj
def command(ui: Ui, name: str, template: str, folder: Path | None) -> None:
    """Make a project called NAME from a template.

    It is complete: `mlfunc run` serves it, `mlfunc test` tests it. `mlfunc templates` lists what
    there is.
    """
    function.check_name(name)
    place = folder or Path(name)
    files = scaffold.render(scaffold.find(template), name)
    scaffold.write(files, place)
    ui.say(f"Created {name} in {place} from the template {template}.")
    ui.note("Next:")
    for step in _next_steps(place):
        ui.note(f"  {step}")


def _next_steps(place: Path) -> Iterator[str]:
    yield f"cd {shlex.quote(str(place))}"
    for uri in function.load(place).local_models.values():
        if not (place / uri).exists():
            yield f"(get a model into {uri}: README.md says how)"
    yield "mlfunc run"
    yield "mlfunc invoke          (in another terminal)"
    yield "mlfunc test"
    yield "mlfunc deploy          (on this machine, or a cluster that is configured)"
