"""`mlfunc test`: the function's own tests, in its own environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mlfunc import environment, function, options, proc
from mlfunc.errors import FunctionFailed, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.ui import Ui

_NO_TESTS = 5


@click.command("test", context_settings={"ignore_unknown_options": True})
@options.folder
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@options.verbose
@click.pass_obj
def command(ui: Ui, folder: Path, pytest_args: tuple[str, ...]) -> None:
    """Run the function's tests. PYTEST_ARGS go to pytest as they are."""
    spec = environment.describe(folder, function.load(folder))
    made = environment.place(spec)
    if not made.complete:
        with ui.progress("installing") as progress:
            environment.ensure(spec, progress.detail)
    argv = [str(made.python), "-m", "pytest", *pytest_args]
    _report(proc.call(argv, cwd=folder, env=made.variables(os.environ)), folder)


def _report(code: int, folder: Path) -> None:
    if code == _NO_TESTS:
        raise NotFound(f"no tests in {folder.absolute()}", "write one in test_predictor.py")
    if code != 0:
        raise FunctionFailed("the function's tests failed")
