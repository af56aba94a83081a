"""`mlfunc images`: of what layers an image consists, and how large they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from mlfunc import options
from mlfunc.function import Platform

if TYPE_CHECKING:
    from mlfunc.builder.inspection import Inspected
    from mlfunc.ui import Ui


@click.command("images")
@click.argument("reference", required=False, metavar="[IMAGE]")
@options.folder
@click.option(
    "--platform",
    type=click.Choice(get_args(Platform)),
    default="linux/amd64",
    show_default=True,
    help="Which one, of an image for several.",
)
@click.option(
    "--insecure", is_flag=True, help="Take any certificate of the registry, or plain HTTP."
)
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui, reference: str | None, folder: Path, platform: Platform, insecure: bool
) -> None:
    """Show the layers of an image and their sizes.

    IMAGE is a name in a registry, a function that was built here, or the path of a folder or an
    archive after oci:. Without, it is what was built last of this project.
    """
    if reference is None:
        found = _of_project(folder)
    else:
        found = _built_here(reference) or _named(reference, platform, insecure=insecure)
    ui.show(found.as_data(), human=lambda: _report(ui, found))


def _of_project(folder: Path) -> Inspected:
    from mlfunc import function
    from mlfunc.builder import inspection, naming

    name = naming.named(function.load(folder)).here
    found = _built_here(naming.title(name))
    if found is None:
        raise inspection.missing(name)
    return found


def _built_here(name: str) -> Inspected | None:
    """What a name without a registry and a tag stands for on this machine."""
    from mlfunc.builder import inspection
    from mlfunc.layers import store

    if set(name) & set("/:@"):
        return None
    with store.opened() as opened:
        return inspection.of_store(name, opened)


def _named(name: str, platform: Platform, *, insecure: bool) -> Inspected:
    import os

    from mlfunc.builder import inspection
    from mlfunc.oci import layout, reference
    from mlfunc.oci.transport import Access

    path = Path(name)
    if layout.is_at(path):
        name = f"oci:{name}"
    elif path.is_file() or layout.is_archive(path):
        raise inspection.no_image(path)
    own = "" if layout.parse(name) else reference.parse(name).registry
    return inspection.of_name(name, platform, Access(os.environ, own=own, insecure=insecure))


def _report(ui: Ui, found: Inspected) -> None:
    from mlfunc.commands.build import size

    rows = [(each.name, size(each.size), each.place) for each in found.layers]
    ui.table(("layer", "size", "place"), rows)
    total = sum(each.size for each in found.layers)
    ui.say(f"{found.image}  {found.platform}  {size(total)}  {found.digest}")
