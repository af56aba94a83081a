"""What is printed, where, and for whom."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import re
import sys
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from mlfunc import loglines, ui

if TYPE_CHECKING:
    from collections.abc import Callable


def on_terminal(work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `work` writes when both streams are a terminal."""
    leader, follower = pty.openpty()
    with (
        open(follower, "w", encoding="utf-8") as stream,  # noqa: PTH123 - it is a descriptor
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        work()
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone with the last who writes to it
        while chunk := os.read(leader, 65536):
            shown += chunk
    os.close(leader)
    return shown.decode()


def test_results_and_remarks_go_to_streams_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = ui.Ui()
    screen.say("result")
    screen.note("remark")

    assert capsys.readouterr() == ("result\n", "remark\n")


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_data_can_be_had_in_every_form(
    form: ui.Format, read: Callable[[str], object], capsys: pytest.CaptureFixture[str]
) -> None:
    screen = ui.Ui()
    screen.format = form
    screen.show([{"name": "ü"}], human=lambda: screen.say("for people"))

    assert read(capsys.readouterr().out) == [{"name": "ü"}]


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert list(ui.columns(("a", "b"), [("1", "x"), ("123", "")])) == ["A    B", "1    x", "123"]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (60, ["NAME  SUMMARY", "long  Sentence embeddings from an encoder", "x     short"]),
        (
            38,
            ["NAME  SUMMARY", "long  Sentence embeddings from an", "      encoder", "x     short"],
        ),
        (
            20,
            [
                "NAME",
                "    SUMMARY",
                "long",
                "    Sentence",
                "    embeddings from",
                "    an encoder",
                "x",
                "    short",
            ],
        ),
    ],
)
def test_a_table_fits_the_terminal(width: int, lines: list[str]) -> None:
    rows = [("long", "Sentence embeddings from an encoder"), ("x", "short")]

    shown = "\n".join(ui.columns(("name", "summary"), rows, width))
    assert shown.splitlines() == lines


def test_a_pipe_gets_a_line_a_phase_and_no_control_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ui.Ui().progress("installing") as progress:
        progress.detail("numpy")
        progress.phase("importing")
        progress.phase("importing")

    assert capsys.readouterr().err == "installing ...\nimporting ...\n"


def test_what_an_installer_says_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with ui.Ui().progress("installing") as progress:
            progress.detail("10%\r20%\x1b[2J")
            time.sleep(3 * ui._TICK_SECONDS)

    assert "10% 20% [2J" in on_terminal(work, monkeypatch)


def test_an_unfinished_line_of_the_function_stays_while_something_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        screen = ui.Ui()
        with screen.progress("loading"):
            for part in (b"\r10%", b"\r20%"):
                screen.pass_on(part)
                time.sleep(3 * ui._TICK_SECONDS)

    shown = on_terminal(work, monkeypatch)
    assert re.search(r"\r10%\r20%\r\n.*✓ loaded", shown)


def test_what_is_done_is_told_between_the_ticks_of_a_progress_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        screen = ui.Ui()
        screen.be_verbose()
        with screen.progress("installing"):
            time.sleep(3 * ui._TICK_SECONDS)
            logging.getLogger("mlfunc.proc").debug("$ %s", "uv venv")

    assert f"{ui._CLEAR_LINE}$ uv venv\r\n" in on_terminal(work, monkeypatch)


def test_a_terminal_gets_each_phase_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with ui.Ui().progress("installing") as progress:
            progress.phase("loading")

    shown = on_terminal(work, monkeypatch)
    for phase in ("installed", "loaded"):
        assert re.search(rf"\x1b\[32m✓\x1b\[0m {phase}  \d\.\d s\r\n", shown)
    assert shown.index("installed") < shown.index("loaded")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    shown = on_terminal(lambda: ui.Ui().say(ui.Ui().paint("plain", "red")), monkeypatch)
    assert shown == "plain\r\n"


def test_a_phase_that_fails_is_marked_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with pytest.raises(KeyError), ui.Ui().progress("loading"):
            raise KeyError

    assert "✗ loading" in on_terminal(work, monkeypatch)


def test_a_log_line_reads_as_a_sentence_with_its_traceback_below() -> None:
    fields = {
        "time": "2026-01-02T03:04:05.678+00:00",
        "level": "error",
        "logger": "mlfunc",
        "message": "hook failed",
        "request_id": "r-1",
        "seconds": 0.123456,
        "traceback": "Traceback\n  boom\n",
    }

    assert loglines.line(fields) == (
        "03:04:05  error    hook failed  request_id=r-1 seconds=0.1235\nTraceback\n  boom"
    )
    assert loglines.colour(fields) == "red"


def test_a_log_line_repeats_no_output_and_names_nothing_that_is_empty() -> None:
    fields = {"level": "error", "message": "it ended", "reason": "exit", "output": "boom"}

    assert loglines.line({**fields, "requests": []}).endswith("it ended  reason=exit")
    assert loglines.line({**fields, "requests": ["a", "b"]}).endswith("requests=a,b")


def test_a_request_reads_as_in_a_server_s_log() -> None:
    fields = {
        "time": "2026-01-02T03:04:05.678+00:00",
        "level": "debug",
        "message": "request",
        "method": "POST",
        "path": "/",
        "status": 200,
        "seconds": 0.0031,
        "request_id": "r-1",
    }

    assert loglines.line(fields) == "03:04:05  POST / 200 3.1 ms  request_id=r-1"


def test_a_start_is_summed_up_by_its_long_phases() -> None:
    startup = {"spawn": 0.02, "import": 1.9, "load": 0.4, "total": 2.6}

    assert loglines.startup(startup) == "2.60 s (import 1.90, load 0.40)"
    assert loglines.startup({}) == "0.00 s"
