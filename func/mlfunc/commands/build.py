"""`mlfunc build`: an image of the function, here, without Docker, and pushed where it belongs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from mlfunc import options
from mlfunc.function import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.building import Outcome
    from mlfunc.builder.deciding import Prepared, Request
    from mlfunc.builder.delivering import Destination
    from mlfunc.builder.report import Row
    from mlfunc.layers.making import Compression
    from mlfunc.ui import Progress, Ui

_SHOWN_AT_MOST = 2


@click.command("build")
@options.folder
@click.option("--registry", metavar="ADDRESS", help="Where to push to: registry.example.com/team.")
@click.option("--image", metavar="NAME", help="The image's whole name; a tag after a colon.")
@click.option(
    "--tag", "tags", multiple=True, help="Its tag; repeat it for more.  [default: latest]"
)
@click.option(
    "--platform",
    type=click.Choice(get_args(Platform)),
    help="What it is for.  [default: `build.platform`, else linux/amd64]",
)
@click.option(
    "--push/--no-push",
    default=None,
    help="Push it, or keep it here.  [default: push where a registry is known]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write it there and do not push: an OCI layout, or an archive if it ends in .tar.",
)
@click.option("--plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--upgrade", is_flag=True, help="Take the newest base, packages and models.")
@click.option("--locked", is_flag=True, help="Fail where mlfunc.lock would change.")
@click.option(
    "--compression",
    type=click.Choice(("zstd", "gzip")),
    help="Of layers; gzip for old registries.  [default: `build.compression`, else zstd]",
)
@click.option(
    "--insecure", is_flag=True, help="Take any certificate of the registry, or plain HTTP."
)
@options.reporting_beside_output("Show what is started, and tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    folder: Path,
    registry: str | None,
    image: str | None,
    tags: tuple[str, ...],
    platform: Platform | None,
    push: bool | None,
    output: Path | None,
    plan: bool,
    upgrade: bool,
    locked: bool,
    compression: Compression | None,
    insecure: bool,
) -> None:
    """Make an image of the function that any Kubernetes runs. No Docker is needed.

    What has not changed is neither made nor sent again.
    """
    from mlfunc.builder.deciding import Request

    request = Request(
        folder=folder,
        image=image,
        registry=registry,
        tags=tags,
        platform=platform,
        push=push,
        output=output,
        upgrade=upgrade,
        locked=locked,
        compression=compression,
        insecure=insecure,
    )
    if plan:
        _plan(ui, request)
    else:
        _build(ui, request)


def _plan(ui: Ui, request: Request) -> None:
    from mlfunc.builder import deciding, report
    from mlfunc.builder.assembly import Workshop
    from mlfunc.layers import store

    with store.opened() as opened, Screen(ui) as screen:
        prepared = deciding.prepare(request, Workshop(opened, screen))
    rows = report.planned(prepared)
    ui.show(report.plan_as_data(prepared), human=lambda: _show_plan(ui, rows))
    _note(ui, prepared)


def _build(ui: Ui, request: Request) -> None:
    from mlfunc.builder import building, report
    from mlfunc.builder.assembly import Workshop
    from mlfunc.layers import store

    limit = store.limit()
    with store.opened() as opened:
        with Screen(ui) as screen:
            outcome = building.build(request, Workshop(opened, screen))
        opened.prune(limit)
    ui.show(report.as_data(outcome), human=lambda: _report(ui, outcome))
    _note(ui, outcome.prepared)
    _note_place(ui, outcome.prepared.destination)


def _show_plan(ui: Ui, rows: Sequence[Row]) -> None:
    from mlfunc.builder import report

    _show(ui, rows)
    to_build = report.total([row for row in rows if row.status == "built"])
    unknown = report.unknown(rows)
    more = f", and {', '.join(unknown)}, whose size is not known yet" if unknown else ""
    ui.say(f"{size(report.total(rows))} in all, of which about {size(to_build)} to build{more}")


def _report(ui: Ui, outcome: Outcome) -> None:
    from mlfunc.builder import report

    _show(ui, report.done(outcome))
    data = report.as_data(outcome)
    moved = f", {size(data['uploaded_bytes'])} uploaded" if data["pushed"] else ""
    ui.note(f"built in {outcome.seconds:.1f} s{moved}")
    ui.say(ui.paint(outcome.main.reference, "bold"))


def _note(ui: Ui, prepared: Prepared) -> None:
    for note in prepared.notes:
        ui.note(note)


def _note_place(ui: Ui, to: Destination) -> None:
    if to.output:
        ui.note(_written(to.output))
    elif not to.pushes:
        ui.note("it is kept here; --registry registry.example.com/team pushes it")


def _written(output: Path) -> str:
    from mlfunc.oci import layout

    if layout.is_archive(output):
        return f"it is in {output}: `docker load -i {output}`"
    return f"it is in {output}, an OCI layout: `mlfunc images {output}`"


def _show(ui: Ui, rows: Sequence[Row]) -> None:
    cells = [(row.name, _size(row), row.status, row.why) for row in rows]
    ui.table(("layer", "size", "status", "why"), cells)


def _size(row: Row) -> str:
    return size(row.size) if row.digest or row.size is None else f"~ {size(row.size)}"


def size(count: int | None) -> str:
    """Bytes, for people: three digits and a unit."""
    if count is None:
        return ""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.3g} {unit}"


class Screen:
    """Shows how far a build is: its phase, and the layers that move, with their bytes."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._lock = threading.Lock()
        self._moving: dict[str, tuple[int, int | None]] = {}
        self._progress: Progress | None = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._progress is not None:
            if kind is not None:
                self._progress.fail()
            self._progress.close()

    def phase(self, name: str) -> None:
        """The next part of the build begins."""
        with self._lock:
            self._moving.clear()
        if self._progress is None:
            self._progress = self._ui.begin(name)
        else:
            self._progress.phase(name)

    def said(self, text: str) -> None:
        """What it is at, in words."""
        if self._progress is not None:
            self._progress.detail(text)

    def moved(self, name: str, done: int, total: int | None) -> None:
        """So many bytes of a layer are made, or sent."""
        with self._lock:
            self._moving[name] = (done, total)
            # An archive is a little larger than what is in it.
            if total is not None and done >= total:
                del self._moving[name]
            shown = list(self._moving.items())
        more = f" and {len(shown) - _SHOWN_AT_MOST} more" if len(shown) > _SHOWN_AT_MOST else ""
        self.said("; ".join(_moving(*each) for each in shown[:_SHOWN_AT_MOST]) + more)


def _moving(name: str, bytes_of: tuple[int, int | None]) -> str:
    done, total = bytes_of
    if not done:
        return name
    return f"{name} {size(done)}" + (f" of {size(total)}" if total else "")
