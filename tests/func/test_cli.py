"""The table of commands: light, ordered, and the only place where errors become exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from mlfunc import __version__, cli, errors

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.ui import Ui

COUNT = """
import sys
from mlfunc import cli
code = cli.main(["--help"])
heavy = {"yaml", "msgspec", "http", "http.client", "json", "subprocess", "importlib.metadata"}
print(code, len(sys.modules), sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def test_help_loads_at_most_120_modules_and_none_that_only_commands_need() -> None:
    # -I: what a site or a coverage tool loads on its own account is not ours to count.
    shown = subprocess.run(
        [sys.executable, "-I", "-c", COUNT], capture_output=True, text=True, check=True
    )
    code, modules, heavy = shown.stderr.split(" ", 2)

    assert (code, heavy.strip()) == ("0", "[]")
    assert int(modules) <= 120


def test_help_lists_the_commands_in_the_order_of_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--help"]) == 0

    shown = capsys.readouterr().out
    places = [shown.index(f"\n  {name} ") for name in cli.COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_has_a_help_page(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    assert f"Usage: mlfunc {name}" in capsys.readouterr().out


def test_a_mistyped_command_is_answered_with_the_likely_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["invok"]) == 2
    assert "no such command 'invok'; did you mean invoke?" in capsys.readouterr().err


def test_a_wrong_option_names_the_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["templates", "--nonsense"]) == 2

    assert capsys.readouterr().err == (
        "error: no such option '--nonsense'\n  try: mlfunc templates --help\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--prot", "1"], "no such option '--prot'; did you mean --port?"),
        (["run", "--port", "x"], "invalid value for '--port': x is no number"),
        (["run", "--port", "99999"], "invalid value for '--port': 99999 is not from 0 to 65535"),
        (["invoke", "-n", "0"], "invalid value for '-n' / '--requests': 0 is not 1 or more"),
        (
            ["invoke", "-n", "team"],
            "invalid value for '-n' / '--requests': team is no number; of a n",
        ),
        (
            ["deploy", "--tag", "New_1"],
            "invalid value for '--tag': New_1 is not made of lower-case",
        ),
        (["run", "-e", "x"], "invalid value for '-e' / '--env': x is not of the form KEY=VALUE"),
        (
            ["run", "--port", "7", "--metrics-port", "7"],
            "--port and --metrics-port are both 7: giv",
        ),
        (["create"], "missing argument 'NAME'"),
    ],
)
def test_wrong_usage_is_told_in_one_style(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_pages_have_words_of_ours_for_values(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([name, "--help"])

    shown = capsys.readouterr().out
    assert "RANGE" not in shown
    assert "[default: (" not in shown


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mlfunc {__version__}\n"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.MlfuncError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.FunctionFailed("x"), 3),
        (errors.EnvironmentFailed("x"), 4),
        (errors.NotFound("x"), 5),
        (KeyboardInterrupt(), 130),
        (PermissionError(13, "Permission denied", "/some/file"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_error_has_its_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise raised

    command = click.Command("fail", callback=fail)
    monkeypatch.setattr(cli.CommandTable, "get_command", lambda *_: command)

    assert cli.main(["run"]) == code


def test_an_error_shows_evidence_then_what_happened_then_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise errors.FunctionFailed("it broke", "mend it", evidence="Traceback ...")

    command = click.Command("fail", callback=fail)
    monkeypatch.setattr(cli.CommandTable, "get_command", lambda *_: command)
    cli.main(["run"])

    assert capsys.readouterr().err == "Traceback ...\nerror: it broke\n  try: mend it\n"


def test_verbose_shows_the_traceback_of_what_lies_behind_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlfunc.yaml").write_text("name: X")

    assert cli.main(["test", "--path", str(tmp_path), "--verbose"]) == 2
    assert "msgspec.ValidationError" in capsys.readouterr().err


@pytest.mark.parametrize(("cause", "shown"), [(errors.NotFound("a"), 0), (LookupError("b"), 1)])
def test_of_what_led_to_an_error_only_what_is_not_ours_has_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cause: Exception,
    shown: int,
) -> None:
    def fail(obj: Ui) -> None:
        obj.be_verbose()
        between = errors.NotFound("not there")
        between.__cause__ = cause
        raise errors.NotFound("neither here nor there", "mlfunc list") from between

    command = click.Command("fail", callback=click.pass_obj(fail))
    monkeypatch.setattr(cli.CommandTable, "get_command", lambda *_: command)
    cli.main(["run"])

    told = capsys.readouterr().err
    assert told.count(repr(cause).partition("(")[0] + ": ") == shown
    assert told.endswith("error: neither here nor there\n  try: mlfunc list\n")
    assert "mlfunc.errors" not in told


def test_what_is_ours_alone_has_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["test", "--path", str(tmp_path), "--verbose"]) == 5
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    shown = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m mlfunc templates | true"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [("templates >&-", 0), ("templates 2>&-", 0), ("templates > /dev/full", 1)],
)
def test_streams_that_take_nothing_are_no_reason_for_a_traceback(command: str, code: int) -> None:
    shown = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m mlfunc {command}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in shown.stderr
    assert "Exception ignored" not in shown.stderr
    assert shown.returncode == code


def test_what_the_encoding_of_a_stream_lacks_is_escaped(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "mlfunc", "create", "x", "--path", str(tmp_path / "ü")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0
    assert "\\xfc from the template" in shown.stdout
