"""A running function: how it is started, and how its lines are told from its predictor's."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from hypothesis import given
from hypothesis import strategies as st
from mlfunc import function, runner
from mlfunc.environment import Environment
from mlfunc.runner import Exited, Output, Record

SOURCE = b"""name: x
serve: {drain: 2m}
env: {LEVEL: high, WORKERS: 2, TOKEN: {secret: s, key: k}, PORT: 1}
"""
READY = b'{"time":"2026-01-02T03:04:05Z", "level": "info", "message": "ready", "phase": "ready"}'


def plan(**given_env: str) -> runner.Launch:
    return runner.launch(
        Environment(Path("/env")),
        Path("/project"),
        function.parse(SOURCE),
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        env=given_env,
        environ={"PATH": "/bin", "PYTHONHOME": "/elsewhere", "HOME": "/me"},
    )


def test_a_launch_keeps_the_contract_with_the_runtime() -> None:
    launch = plan()

    assert launch.argv == ("/env/bin/python", "-m", "mlfunc_runtime")
    assert launch.env["MLFUNC_FUNCTION"] == "/project/mlfunc.yaml"
    assert (launch.env["MLFUNC_HOST"], launch.env["MLFUNC_METRICS_PORT"]) == ("127.0.0.1", "0")
    assert launch.drain == 120.0


def test_the_environment_is_activated_and_nothing_leads_out_of_it() -> None:
    launch = plan()

    assert (launch.env["PATH"], launch.env["VIRTUAL_ENV"]) == ("/env/bin:/bin", "/env")
    assert launch.env["MLFUNC_IMPORT_CACHE"] == "/env/import-cache"
    assert "PYTHONHOME" not in launch.env


def test_given_variables_win_over_the_file_and_the_contract_over_both() -> None:
    launch = plan(LEVEL="low", MLFUNC_HOST="0.0.0.0")

    assert (launch.env["LEVEL"], launch.env["WORKERS"], launch.env["HOME"]) == ("low", "2", "/me")
    assert (launch.env["PORT"], launch.env["MLFUNC_HOST"]) == ("0", "127.0.0.1")


def test_a_secret_is_missing_until_somebody_gives_it() -> None:
    loaded = function.parse(SOURCE)

    assert runner.missing_env(loaded, {}) == ["TOKEN"]
    assert runner.missing_env(loaded, {"TOKEN": "x"}) == []


def test_lines_of_the_runtime_are_told_from_what_the_predictor_prints() -> None:
    stream = b"Downloading\n" + READY + b'\n{"my": "json"}\n{"time": 3\n[1]\n'

    assert list(runner.messages([stream])) == [
        Output(b"Downloading\n"),
        Record(json.loads(READY)),
        Output(b'{"my": "json"}\n'),
        Output(b'{"time": 3\n'),
        Output(b"[1]\n"),
    ]


def test_a_progress_bar_without_a_line_end_shows_at_once() -> None:
    assert list(runner.messages([b"\r10%", b"\r20%"])) == [
        Output(b"\r10%"),
        Output(b"\r20%"),
    ]


def test_a_line_after_a_progress_bar_is_still_a_record() -> None:
    for chunks in ([b"\r10%", READY + b"\n"], [b"\r10%" + READY + b"\n"]):
        said = list(runner.messages(chunks))

        assert said == [Output(b"\r10%"), Record(json.loads(READY))]


@given(st.lists(st.integers(1, 30), max_size=30))
def test_records_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    stream = (b'50% {"' + READY + b"\n") * 3
    chunks, rest = [], stream
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]

    said = list(runner.messages([*chunks, rest]))
    assert [each for each in said if isinstance(each, Record)] == [Record(json.loads(READY))] * 3
    assert b"".join(each.data for each in said if isinstance(each, Output)) == b'50% {"' * 3


def test_a_record_that_nests_too_deep_is_output_and_no_end_of_listening() -> None:
    line = b'{"time":' + b"[" * 200_000

    assert list(runner.messages([line + b"\n", READY + b"\n"])) == [
        Output(line + b"\n"),
        Record(json.loads(READY)),
    ]


def started(code: str, folder: Path, said: SimpleQueue[runner.Said]) -> runner.Runner:
    launch = replace(plan(), folder=folder, argv=(sys.executable, "-c", code), env=os.environ)
    return runner.Runner(launch, said)


def test_the_end_is_told_though_a_child_in_a_session_of_its_own_lives_on(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(20)']\n"
        "subprocess.Popen(sleep, start_new_session=True)"
    )
    said: SimpleQueue[runner.Said] = SimpleQueue()
    began = time.monotonic()
    started(code, tmp_path, said)

    assert said.get(timeout=30) == Exited(0)
    assert time.monotonic() - began < 15


def test_a_function_that_writes_faster_than_is_shown_has_to_wait(tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stderr.write('x' * 65536)"
    said: SimpleQueue[runner.Said] = SimpleQueue()
    process = started(code, tmp_path, said)
    time.sleep(1.0)
    most = said.qsize()
    process.kill()
    while not isinstance(said.get(timeout=30), Exited):
        pass

    assert most <= runner._UNSHOWN_AT_MOST
