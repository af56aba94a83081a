"""The end of a function whose predictor runs in a process: nothing of it stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from .isolated import HOG, WILLING, children, eventually, in_flight, isolated, messages, runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Process

    Start = Callable[..., Process]


def test_a_signal_during_a_long_load_ends_the_start_and_its_process(start: Start) -> None:
    process = start(
        "import time\nclass P:\n    def predict(self, n): pass\n    def load(self): time.sleep(60)",
        until="loading",
        **isolated(),
    )
    eventually(lambda: children(process) != [])
    pids = children(process)
    asked = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - asked < 20
    eventually(lambda: not any(map(runs, pids)))


def test_unload_runs_in_each_process_at_the_end(start: Start) -> None:
    process = start(
        """
        import os
        class P:
            async def load(self): self.loaded = True
            def predict(self, n: int): return n
            async def unload(self):
                # In one write: two processes share this output.
                print(f"unloaded {os.getpid()} {self.loaded}\\n", end="", flush=True)
        """,
        **isolated(slots=2),
    )
    expected = {f"unloaded {pid} True" for pid in children(process)}
    assert process.stop() == 0
    assert (set(process.others), len(expected)) == (expected, 2)
    assert process.lines[-1]["unloaded"] is True


@pytest.mark.parametrize(
    ("body", "told", "code"),
    [
        ("raise ValueError('no')", "unload raised ValueError: no", 0),
        ("time.sleep(60)", "unload was not done within serve.drain", 3),
    ],
)
def test_an_unload_that_raises_or_hangs_is_told_and_no_process_stays(
    start: Start, body: str, told: str, code: int
) -> None:
    process = start(
        f"import time\nclass P:\n    def predict(self, n): pass\n    def unload(self): {body}",
        **isolated(drain="500ms"),
    )
    (child,) = children(process)
    assert process.stop() == code
    assert told in messages(process)
    eventually(lambda: not runs(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_though_the_whole_group_is_signalled(
    start: Start, number: int
) -> None:
    process = start(WILLING, **isolated())
    with in_flight(process, b'{"do": "sleep", "n": 1}') as answers:
        for pid in children(process):
            os.kill(pid, number)
        assert process.stop(number) == 0
    assert answers == [(200, "sleep")]


def test_a_second_signal_ends_all_processes_at_once(start: Start) -> None:
    process = start(WILLING, **isolated(slots=2))
    pids = children(process)
    with in_flight(process, b'{"do": "sleep", "n": 60}'):
        process.child.send_signal(signal.SIGTERM)
        process.until("draining")
        assert process.stop() == 3
    assert len(pids) == 2
    eventually(lambda: not any(map(runs, pids)))


@pytest.mark.parametrize("busy", [False, True])
def test_no_process_stays_when_its_parent_is_killed(start: Start, busy: bool) -> None:
    process = start(HOG, **isolated())
    (child,) = children(process)
    with in_flight(process, b"{}") if busy else contextlib.nullcontext():
        process.child.kill()
        eventually(lambda: not runs(child), 1)


def test_a_process_that_predict_forks_ends_as_usual(start: Start) -> None:
    process = start(
        """
        import multiprocessing, time
        class P:
            def predict(self) -> int:
                worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
                worker.start()
                worker.terminate()
                worker.join(10)
                return worker.exitcode
        """,
        **isolated(),
    )
    assert process.json(b"{}") == (200, -signal.SIGTERM)


@pytest.mark.parametrize("end", ["crash", "hang", "stop", "second signal"])
def test_what_a_process_has_forked_ends_with_it(start: Start, end: str) -> None:
    process = start(
        """
        import multiprocessing, os, time
        class P:
            def load(self):
                self.worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
                self.worker.start()
            def predict(self, end: str) -> int:
                if end == "crash": os.abort()
                if end == "hang": time.sleep(60)
                if end == "sleep": print("predicting", flush=True); time.sleep(60)
                return self.worker.pid
        """,
        **isolated(process={"timeout": "2s"}),
    )
    _, worker = process.json(b'{"end": ""}')
    assert runs(worker)
    if end == "stop":
        assert process.stop() == 0
    elif end == "second signal":
        with in_flight(process, b'{"end": "sleep"}'):
            process.child.send_signal(signal.SIGTERM)
            process.until("draining")
            assert process.stop() == 3
    else:
        assert process.json(json.dumps({"end": end}).encode())[0] in (500, 504)
    eventually(lambda: not runs(worker), 5)
