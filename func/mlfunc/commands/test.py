"""`mlfunc test`: the function's own tests, in its own environment."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from mlfunc import environment, function, options, proc
from mlfunc.errors import FunctionFailed, NotFound, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.ui import Ui

# As pytest ends.
_WRONG_ARGUMENTS = 4
_NO_TESTS = 5


@click.command("test", context_settings={"ignore_unknown_options": True})
@options.folder
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@options.verbose("Show what is started, and tracebacks.")
@click.pass_obj
def command(ui: Ui, folder: Path, pytest_args: tuple[str, ...]) -> None:
    """Run the function's tests. PYTEST_ARGS go to pytest as they are."""
    spec = environment.describe(folder, function.load(folder))
    made = environment.use(spec)
    if not made.complete:
        with ui.progress("installing") as progress:
            environment.ensure(spec, progress.detail)
    argv = [str(made.python), "-m", "pytest", *pytest_args]
    code = proc.call(argv, cwd=folder, env=made.variables(os.environ))
    if code == _NO_TESTS and pytest_args:
        raise NotFound(f"no test was selected by {shlex.join(pytest_args)}", "mlfunc test --co -q")
    _report(code, folder)


def _report(code: int, folder: Path) -> None:
    if code == _NO_TESTS:
        raise NotFound(f"no tests in {folder.absolute()}", "write one in test_predictor.py")
    if code == _WRONG_ARGUMENTS:
        raise UsageError("pytest cannot do what it was asked for", "mlfunc test --help")
    if code != 0:
        raise FunctionFailed("the function's tests failed")
