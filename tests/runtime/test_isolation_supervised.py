"""What becomes of a function whose predictor's process ends, and of its callers."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime.isolation import supervised
from mlfunc_runtime.isolation.supervised import _pause

from .isolated import WILLING, ask, children, eventually, isolated, restarts, together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Start = Callable[..., Process]
    Serve = Callable[..., Client]


@pytest.mark.parametrize(
    ("do", "status", "told", "reason"),
    [
        ("crash", 500, "the predictor's process ended with signal 11 (SIGSEGV)", "signal"),
        ("exit", 500, "the predictor's process ended with exit code 3", "exit"),
        ("eat", 500, "more than serve.process.memory, 200 MiB, and was ended", "memory"),
        ("sleep", 504, "predict took more than 0.5 s and was ended", "timeout"),
    ],
)
def test_a_process_that_ends_costs_its_batch_and_is_replaced(
    metered: Callable[..., Process], do: str, status: int, told: str, reason: str
) -> None:
    limits = {"memory": "200MiB", "timeout": "500ms" if do == "sleep" else "1m"}
    process = metered(WILLING, **isolated(process=limits))
    before = children(process)
    got, problem = ask(process, do, 300 * 2**20)
    assert (got, told in problem["detail"]) == (status, True)
    status, pid = ask(process, "pid")
    assert (status, [pid]) == (200, children(process))
    assert pid not in before
    assert restarts(process) == {reason: 1}
    eventually(lambda: process.call(path="/health/readiness", method="GET").status == 200)
    process.stop()
    line = next(line for line in process.lines if line.get("reason") == reason)
    assert line["requests"] == [problem["request_id"]]


@pytest.mark.parametrize(("do", "limit"), [("crash", "1m"), ("sleep", "500ms")])
def test_the_log_says_where_a_process_was_when_it_ended(start: Start, do: str, limit: str) -> None:
    process = start(WILLING, **isolated(process={"timeout": limit}))
    ask(process, do, 60)
    process.stop()
    (line,) = [line for line in process.lines if "output" in line]
    assert re.search(r'predictor.py", line \d+ in predict', line["output"])


def test_a_process_that_ends_while_it_is_idle_is_replaced_at_once(
    metered: Callable[..., Process],
) -> None:
    process = metered(WILLING, **isolated())
    (child,) = children(process)
    os.kill(child, signal.SIGKILL)
    eventually(lambda: restarts(process) == {"signal": 1} and len(children(process)) == 1)
    assert ask(process, "pid") == (200, children(process)[0])


def test_requests_wait_while_the_only_process_is_replaced(start: Start) -> None:
    process = start(
        """
        import os, time
        from pathlib import Path
        class P:
            def load(self):
                if Path("started").exists(): time.sleep(2)
                Path("started").touch()
            def predict(self, end: bool) -> str:
                if end: os._exit(1)
                return "served"
        """,
        **isolated(),
    )
    assert process.json(b'{"end": true}')[0] == 500
    ready = process.call(path="/health/readiness", method="GET")
    assert (ready.status, json.loads(ready.read())) == (503, {"status": "restarting"})
    assert process.call(path="/health/liveness", method="GET").status == 200
    assert process.json(b'{"end": false}') == (200, "served")
    assert process.call(path="/health/readiness", method="GET").status == 200


def test_a_load_that_fails_when_started_anew_is_told_and_tried_again(
    metered: Callable[..., Process],
) -> None:
    process = metered(
        """
        import os
        from pathlib import Path
        class P:
            def load(self):
                with Path("loads").open("a") as file: file.write("x")
                if len(Path("loads").read_text()) in (2, 3): raise ValueError("no model")
            def predict(self, end: bool) -> str:
                if end: os._exit(1)
                return "served"
        """,
        **isolated(),
    )
    assert process.json(b'{"end": true}')[0] == 500
    assert process.json(b'{"end": false}') == (200, "served")
    assert restarts(process) == {"exit": 1, "load": 2}
    process.stop()
    told = "slot-0: the predictor's process could not be started anew: no model"
    failed = [line for line in process.lines if line["message"] == told]
    assert ["in load" in line["traceback"] for line in failed] == [True, True]


def test_each_slot_has_a_process_and_the_crash_of_one_leaves_the_other(start: Start) -> None:
    process = start(
        """
        import os, time
        class P:
            example = {"n": 0}
            def __init__(self): self.warm = False
            def predict(self, n: int):
                time.sleep(0.2)
                if n == 1: os._exit(1)
                was, self.warm = self.warm, True
                return [os.getpid(), was]
        """,
        **isolated(slots=2),
    )
    before = set(children(process))
    answers = together(lambda n: process.json(b'{"n": %d}' % n), range(8))
    assert [status for status, _ in answers] == [500 if n == 1 else 200 for n in range(8)]
    served = [value for status, value in answers if status == 200]
    assert len(before) == 2
    assert {pid for pid, _ in served} & before != set()
    assert all(warm for _, warm in served), "each process is warmed up before it serves"


def test_a_function_is_ready_while_one_of_its_processes_serves(start: Start) -> None:
    process = start(
        """
        import os, time
        from pathlib import Path
        class P:
            def load(self):
                if Path("ended").exists(): time.sleep(60)
            def predict(self, end: bool) -> int:
                if end: Path("ended").touch(); os._exit(1)
                return os.getpid()
        """,
        **isolated(slots=2),
    )
    assert process.json(b'{"end": true}')[0] == 500
    answers = [process.json(b'{"end": false}') for _ in range(5)]
    assert {status for status, _ in answers} == {200}
    assert len({pid for _, pid in answers}) == 1
    assert process.call(path="/health/readiness", method="GET").status == 200


def test_hooks_outlive_a_crash(serve: Serve) -> None:
    client = serve(
        """
        import os
        class P:
            def __init__(self): self.seen = []
            def before_predict(self, n: int):
                self.seen.append(n)
                return n
            def predict(self, n: int) -> int:
                if n: os._exit(1)
                return os.getpid()
            def after_predict(self, result): return [result == os.getpid(), self.seen]
        """,
        **isolated(),
    )
    assert client.post({"n": 1}).status == 500
    assert client.post({"n": 0}).json() == [False, [1, 0]]


def test_a_crash_is_in_the_log_once_with_the_requests_that_it_cost(start: Start) -> None:
    process = start(
        """
        import os, time
        class P:
            def predict(self, n: list[int]) -> list[int]:
                time.sleep(0.2)
                if len(n) > 1: os._exit(3)
                return n
        """,
        **isolated(batch={"max_size": 8}),
    )
    answers = together(lambda n: process.json(b'{"n": %d}' % n), range(5))
    failed = {problem["request_id"] for status, problem in answers if status == 500}
    process.stop()
    # One line a crash, mostly one crash.
    lines = [line for line in process.lines if "exit code 3" in line["message"]]
    told = [request_id for line in lines for request_id in line["requests"]]
    assert len(told) > len(lines)
    assert sorted(told) == sorted(failed)


def test_a_load_that_hangs_when_started_anew_is_ended_told_and_tried_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervised, "_LEAST_PATIENCE", 3.0)
    monkeypatch.setattr(supervised, "_SLOWER", 1)
    client = serve(
        """
        import os, time
        from pathlib import Path
        loads = Path(__file__).with_name("loads")
        class P:
            def load(self):
                with loads.open("a") as file: file.write("x")
                if len(loads.read_text()) == 2: time.sleep(60)
            def predict(self, end: bool) -> str:
                if end: os._exit(1)
                return "served"
        """,
        **isolated(),
    )
    assert client.post({"end": True}).status == 500
    assert client.post({"end": False}).json() == "served"
    (told,) = [each for each in caplog.records if "could not be started anew" in each.message]
    assert "had not started after 3 s and was ended" in told.message
    assert "in load" in told.fields["traceback"]  # type: ignore[attr-defined]
    assert 'restarts_total{reason="load"} 1' in client.function.metrics.render().decode()


def test_the_first_loss_is_made_good_at_once_and_those_that_follow_later_and_later() -> None:
    pauses = [_pause(losses) for losses in range(9)]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_a_slot_is_not_busy_while_its_process_is_replaced(serve: Serve, tmp_path: Path) -> None:
    client = serve(
        """
        import os, time
        from pathlib import Path
        class P:
            def load(self, context):
                if Path(context.config["mark"]).exists(): time.sleep(3)
            def predict(self, end: bool, mark: str) -> str:
                Path(mark).touch()
                if end: os._exit(1)
                return "served"
        """,
        **isolated(),
        config={"mark": str(tmp_path / "mark")},
    )
    for end, status in ((True, 500), (False, 200)):
        assert client.post({"end": end, "mark": str(tmp_path / "mark")}).status == status
    assert client.function.metrics.slot_seconds() < 2
