"""What is printed, where, and for whom."""

from __future__ import annotations

import json
import os
import pty
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from mlfunc import loglines, ui

if TYPE_CHECKING:
    from collections.abc import Callable


def on_terminal(work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `work` writes when both streams are a terminal."""
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8") as stream:  # noqa: PTH123 - it is a descriptor
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        work()
        stream.flush()
        shown = os.read(leader, 65536).decode()
    os.close(leader)
    return shown


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


def test_a_pipe_gets_a_line_a_phase_and_no_control_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ui.Ui().progress("installing") as progress:
        progress.detail("numpy")
        progress.phase("importing")
        progress.phase("importing")

    assert capsys.readouterr().err == "installing ...\nimporting ...\n"


def test_a_terminal_gets_each_phase_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with ui.Ui().progress("installing") as progress:
            progress.phase("loading")

    shown = on_terminal(work, monkeypatch)
    assert "\x1b[32m✓\x1b[0m installing  0.0 s\r\n" in shown
    assert shown.endswith("\x1b[32m✓\x1b[0m loading  0.0 s\r\n")


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


def test_a_start_is_summed_up_by_its_long_phases() -> None:
    startup = {"spawn": 0.02, "import": 1.9, "load": 0.4, "total": 2.6}

    assert loglines.startup(startup) == "2.60 s (import 1.90, load 0.40)"
    assert loglines.startup({}) == "0.00 s"
