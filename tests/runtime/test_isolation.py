"""serve.isolation: process: a function whose predictor runs in a child, from its start on."""

from __future__ import annotations

import re
import threading
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from .isolated import (
    HOG,
    WILLING,
    ask,
    children,
    eventually,
    isolated,
    metrics,
    ticks_in_two_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Process

    Start = Callable[..., Process]


def test_load_and_predict_run_in_one_child_that_is_plain_python(start: Start) -> None:
    process = start(WILLING, **isolated())
    (child,) = children(process)
    assert ask(process, "pid") == (200, child)
    _, modules = ask(process, "modules")
    assert not [name for name in modules if name.startswith(("gevent", "gunicorn", "greenlet"))]


def test_a_memory_limit_that_bounds_nothing_is_told(start: Start) -> None:
    process = start(WILLING, serve={"process": {"memory": "1GiB"}})
    told = [line["message"] for line in process.lines if line["level"] == "warning"]
    assert told == ["serve.process.memory bounds nothing: serve.isolation is thread"]


def test_a_function_that_runs_in_threads_imports_nothing_of_this(start: Start) -> None:
    _, modules = ask(start(WILLING), "modules")
    assert {"subprocess", "ctypes.util"} & set(modules) == set()
    assert not [name for name in modules if name.startswith("mlfunc_runtime.isolation")]


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize(
    ("source", "error", "shown", "code"),
    [
        ("class P:\n    def predict(self, n): pass\n    def load(self): 1 / 0", "load raised ZeroDivisionError: division by zero", "def load(self): 1 / 0", 1),
        ("class P:\n    def predict(self, n): pass\n    def load(self, context): context.model('x')", "there is no model 'x'", "", 2),
        ("class P:\n    example = 1\n    def predict(self, n): return [1 / 0]", "the warm-up with `example` raised ZeroDivisionError: division by zero", "in predict", 1),
        ("import nothing_here", "predictor.py needs nothing_here, which is not installed", "import nothing_here", 1),
    ],
)  # fmt: skip
def test_a_start_fails_alike_in_threads_and_processes(
    start: Start, isolation: str, source: str, error: str, shown: str, code: int
) -> None:
    process = start(source, until="failed", serve={"isolation": isolation})
    failed = process.lines[-1]
    assert (failed["error"], shown in failed["traceback"]) == (error, True)
    assert "mlfunc_runtime" not in failed["traceback"]
    assert process.wait() == code


@pytest.mark.parametrize("where", ["load", "predict"])
def test_a_crash_during_the_start_fails_it_and_says_where(start: Start, where: str) -> None:
    process = start(
        f"""
        import ctypes
        class P:
            example = {{"n": 1}}
            def load(self): self.end("load")
            def predict(self, n: int): self.end("predict")
            def end(self, where): where == "{where}" and ctypes.string_at(0)
        """,
        until="failed",
        **isolated(),
    )
    assert "ended with signal 11 (SIGSEGV)" in process.lines[-1]["error"]
    assert process.wait() == 1
    assert any("in end" in text for text in process.others)


# How soon, bench/probes.py measures.
def test_health_is_answered_while_a_predictor_in_a_process_holds_the_gil(start: Start) -> None:
    process = start(HOG, **isolated())
    _assert_health_keeps_up(process)


def test_health_is_answered_while_a_predictor_in_a_thread_has_released_the_gil(
    start: Start,
) -> None:
    process = start("""
        import hashlib, time
        class P:
            def load(self):
                began = time.perf_counter()
                hashlib.pbkdf2_hmac("sha256", b"", b"", 10**5)
                self.count = int(10**5 * 3 / (time.perf_counter() - began))
            def predict(self) -> float:
                began = time.perf_counter()
                hashlib.pbkdf2_hmac("sha256", b"", b"", self.count)
                return time.perf_counter() - began
    """)
    _assert_health_keeps_up(process)


def _assert_health_keeps_up(process: Process) -> None:
    held: list[Any] = []
    thread = threading.Thread(target=lambda: held.append(process.json(b"{}")))
    thread.start()
    answered = sum(_probes(process, thread))
    thread.join()
    ((status, longest),) = held
    assert (status, longest > 1) == (200, True), "the predictor did not hold what it shall"
    assert answered >= 20


def _probes(process: Process, during: threading.Thread) -> Iterator[bool]:
    """Health, asked over and over meanwhile: whether it was still that when it was answered."""
    connection = HTTPConnection("127.0.0.1", process.port, timeout=30)
    while during.is_alive():
        connection.request("GET", "/health/readiness")
        assert connection.getresponse().read() == b'{"status":"ready"}'
        yield during.is_alive()
        time.sleep(0.01)
    connection.close()


@pytest.mark.parametrize(
    "part",
    [
        "def before_predict(self, n: int): return self.client",
        "def size(self, n): return self.client",
    ],
)
def test_what_runs_in_the_server_and_misses_what_load_made_is_told_where_to_make_it(
    start: Start, part: str
) -> None:
    process = start(
        f"""
        class P:
            def load(self): self.client = 1
            {part}
            def predict(self, n): return n
            async def after_response(self, result): self.client
        """,
        **isolated(),
    )
    assert process.json(b'{"n": 1}')[0] == 500
    process.stop()
    (line,) = [line for line in process.lines if "AttributeError" in line["message"]]
    assert "make what they need in __init__" in line["traceback"]


def test_what_a_process_logs_is_lines_with_the_request_s_id(start: Start) -> None:
    process = start(
        """
        import logging, sys
        class P:
            def load(self, context): context.logger.info("loaded on %s", context.device)
            def predict(self, n: int) -> int:
                logging.getLogger("mine").warning("within")
                sys.stderr.write("as it is\\n")
                return n
        """,
        **isolated(),
    )
    process.call(b'{"n": 1}', content_type="application/json", x_request_id="r-42").read()
    process.stop()
    mine = [line for line in process.lines if line["logger"] in ("mine", "sample")]
    assert [(line["message"], line.get("request_id")) for line in mine] == [
        ("loaded on cpu", None),
        ("within", "r-42"),
    ]
    assert process.others == ["as it is"]


def test_memory_of_processes_is_settled_and_exported(metered: Callable[..., Process]) -> None:
    process = metered(
        """
        import gc
        class P:
            def load(self): self.during = gc.isenabled()
            def predict(self) -> list: return [self.during, gc.isenabled(), gc.get_freeze_count() > 0]
        """,
        **isolated(slots=2),
    )
    assert process.json(b"{}") == (200, [False, True, True])
    found = re.findall(
        r'mlfunc_process_resident_memory_bytes\{slot="(\d)"\} (\S+)', metrics(process)
    )
    assert [(slot, float(value) > 5e6) for slot, value in found] == [("0", True), ("1", True)]


def test_an_idle_function_with_a_memory_limit_uses_no_cpu(start: Start) -> None:
    process = start(WILLING, **isolated(process={"memory": "1GiB"}))
    pids = [process.child.pid, *children(process)]

    # They may have to end what their start began.
    eventually(lambda: ticks_in_two_seconds(pids) <= 2, 60)  # of 200


def test_a_process_starts_like_its_parent_with_threads_counted_and_tables_kept(
    start: Start, tmp_path: Path
) -> None:
    process = start(
        """
        import os, sys
        class P:
            def predict(self) -> list:
                finders = [type(each).__name__ for each in sys.meta_path]
                return [os.environ.get("OMP_NUM_THREADS"), "_Finder" in finders]
        """,
        {"MLFUNC_IMPORT_CACHE": str(tmp_path / "kept")},
        **isolated(slots=2),
    )
    assert process.json(b"{}") == (200, ["1", True])
