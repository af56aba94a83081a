"""`mlfunc cache`: what commands keep on this machine, and who uses it; unused things removed."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options
from mlfunc.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.cache.items import Item, Kind, Plan
    from mlfunc.cache.removing import Removed

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
# Of these there may be hundreds, and none has a name: a table has a line for all.
_COUNTED: dict[Kind, tuple[str, str]] = {
    "download": ("file of no model", "files of no model"),
    "layer": ("layer of a build before", "layers of builds before"),
    "unfinished": ("folder of a killed build", "folders of killed builds"),
}


class _Age(click.ParamType):  # type: ignore[type-arg]  # older clicks know no argument
    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """In seconds; click's hook."""
        match = _AGE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value} is no age: write it like 12h, 30d or 4w", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


@click.group("cache", invoke_without_command=True)
@options.reporting("Show tracebacks.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show what is kept on this machine, how large it is and who uses it.

    Environments of functions, models that were fetched, layers of images: all of it is made or
    fetched again where it is missing. Releases of the local platform, with their models, are shown
    as well, and go with their revisions.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.find_object(Ui) or Ui())


@command.command("prune")
@click.option(
    "--older-than",
    type=_Age(),
    default="0s",
    metavar="AGE",
    help="Only what was not used for so long: 12h, 30d, 4w.",
)
@click.option("--all", "everything", is_flag=True, help="Also what only projects use.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and take nothing away.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.reporting("Show tracebacks.")
@click.pass_obj
def prune(ui: Ui, older_than: float, everything: bool, dry_run: bool, yes: bool) -> None:
    """Take away what nothing uses.

    What a project that still exists uses stays, unless --all is given; what is deployed here or
    runs now keeps what it uses, whatever is given.
    """
    from mlfunc.cache import inventory, items, removing

    wish = items.Wish(time.time() - older_than, everything)
    found = inventory.look()
    plan = items.plan(found, wish)
    _say_plan(ui, plan)
    if dry_run or not plan.gone:
        ui.show(_result(plan.gone if dry_run else (), plan.size), human=lambda: None)
        return
    if not yes:
        _ask()
    removed = removing.remove(found, plan, wish)
    ui.show(_result(removed.gone, removed.size), human=lambda: _report(ui, removed))


def _list(ui: Ui) -> None:
    from mlfunc import paths
    from mlfunc.cache import inventory, items

    found = inventory.look()
    unused = items.plan(found, items.Wish(time.time()))
    data = {
        "cache": str(paths.cache()),
        "size": items.total(each for each in found if each.kind != "release"),
        "unused": unused.size,
        "items": [_item(each) for each in found],
    }
    ui.show(data, human=lambda: _show(ui, found, unused))


def _show(ui: Ui, found: Sequence[Item], unused: Plan) -> None:
    from mlfunc import paths
    from mlfunc.cache.items import total
    from mlfunc.commands.build import size
    from mlfunc.supervisor import home as homes

    if found:
        ui.table(("kind", "what", "size", "used", "by"), list(_rows(found)))
    cached = [item for item in found if item.kind != "release"]
    ui.say(f"{paths.cache()}  {size(total(cached))}")
    if released := [item for item in found if item.kind == "release"]:
        ui.say(f"{homes.home().folder}  {size(total(released))}")
    if unused.gone:
        ui.note(f"nothing uses {size(unused.size)} of it: mlfunc cache prune")


def _rows(found: Sequence[Item]) -> Iterator[tuple[str, ...]]:
    from mlfunc.cache.items import total
    from mlfunc.commands.build import size

    for each in sorted(found, key=lambda item: -item.size):
        if each.kind not in _COUNTED:
            yield each.kind, each.name, size(each.size), _since(each.used), _users(each)
    for kind, (one, many) in _COUNTED.items():
        if some := [each for each in found if each.kind == kind]:
            last = _since(max(each.used for each in some))
            what = f"{len(some)} {one if len(some) == 1 else many}"
            yield kind, what, size(total(some)), last, _users(some[0])


def _since(used: float) -> str:
    from mlfunc.commands.describe import age

    return f"{age(time.time() - used)} ago"


def _users(item: Item) -> str:
    """All that keep it, in one cell."""
    running = ["what runs now"] if item.busy else []
    deployed = [f"{name} (deployed)" for name in item.deployed]
    return ", ".join([*running, *deployed, *map(_shortened, item.projects)]) or "-"


def _shortened(folder: str) -> str:
    path, home = Path(folder), Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else folder


def _say_plan(ui: Ui, plan: Plan) -> None:
    if not plan.gone:
        ui.note("there is nothing to take away: mlfunc cache shows who uses what")
        return
    for line in _lines(plan):
        ui.note(line)


def _lines(plan: Plan) -> Iterator[str]:
    """What goes, the largest first."""
    from mlfunc.commands.build import size

    for kind, what, its_size, used, _ in _rows(plan.gone):
        yield f"- {what if kind in _COUNTED else f'{kind} {what}'}: {its_size}, used {used}"
    yield f"that frees {size(plan.size)}"


def _ask() -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: --yes takes it away all the same")
    click.confirm("take it away?", abort=True, err=True)


def _report(ui: Ui, removed: Removed) -> None:
    from mlfunc.commands.build import size

    for item in removed.kept:
        ui.note(f"{item.kind} {item.name} stays: it has come into use meanwhile")
    ui.say(f"freed {size(removed.size)}")


def _result(gone: Sequence[Item], freed: int) -> dict[str, Any]:
    return {"freed": freed, "removed": [_item(each) for each in gone]}


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "name": item.name,
        "path": str(item.place),
        "size": item.size,
        "used": datetime.fromtimestamp(item.used, UTC).isoformat(timespec="seconds"),
        "projects": list(item.projects),
        "deployed": list(item.deployed),
        "busy": item.busy,
    }
