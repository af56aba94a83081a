"""Functions whose predictor runs in a process: what they are made of, and looks at them."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .conftest import Process


# What it is told to do; "pid" tells who did it.
WILLING = """
    import ctypes, os, sys, time
    from mlfunc_runtime import Problem

    class P:
        example = {"do": "pid"}

        def load(self, context):
            self.loaded_by = os.getpid()

        def predict(self, do: str, n: float = 0):
            if do == "pid": return os.getpid()
            if do == "crash": ctypes.string_at(0)
            if do == "exit": os._exit(3)
            if do == "eat": kept = b"x" * int(n); time.sleep(60)
            if do == "sleep": print("predicting", flush=True); time.sleep(n)
            if do == "raise": raise ValueError("secret")
            if do == "refuse": raise Problem(429, "slow down", field="n", headers={"Retry-After": "9"})
            if do == "lock": import threading; return threading.Lock()
            if do == "modules": return sorted(sys.modules)
            return do
"""


def isolated(**serve: Any) -> dict[str, Any]:
    return {"serve": {"isolation": "process", **serve}}


def ask(process: Process, do: str, n: float = 0) -> tuple[int, Any]:
    return process.json(json.dumps({"do": do, "n": n}).encode())


def children(process: Process) -> list[int]:
    """The processes that it or its threads have started."""
    tasks = Path(f"/proc/{process.child.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def ticks_in_two_seconds(pids: Sequence[int]) -> int:
    """The processor time that processes take from now on, in hundredths of a second."""

    def ticks() -> int:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats)

    before = ticks()
    time.sleep(2)
    return ticks() - before


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def messages(process: Process) -> list[str]:
    return [line["message"] for line in process.lines]


def restarts(process: Process) -> dict[str, int]:
    text = metrics(process)
    found = re.findall(r'mlfunc_process_restarts_total\{reason="(\w+)"\} (\d+)', text)
    return {reason: int(count) for reason, count in found}


def metrics(process: Process) -> str:
    return process.call(path="/metrics", method="GET", port=process.metrics_port).read().decode()


@contextlib.contextmanager
def in_flight(process: Process, body: bytes) -> Iterator[list[Any]]:
    """A request that has reached predict; the list gets its answer."""
    answers: list[Any] = []

    def call() -> None:
        try:
            answers.append(process.json(body))
        except (OSError, HTTPException) as error:
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert process.child.stdout is not None
    assert process.child.stdout.readline().startswith("predicting")
    yield answers
    thread.join()


def together(call: Callable[[int], Any], numbers: range) -> list[Any]:
    """What it returns for each, called at once."""
    answers: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: call(n)})) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[n] for n in numbers]


HOG = """
    import os, threading, time

    class P:
        def load(self):
            began = time.perf_counter()
            sum(range(10**7))
            self.count = int(10**7 * 3 / (time.perf_counter() - began))

        def predict(self) -> float:
            '''Hold the GIL for three seconds; the longest time that another thread had to wait.'''
            longest, done = [0.0], threading.Event()
            def look():
                last = time.perf_counter()
                while not done.wait(0.01):
                    now = time.perf_counter()
                    longest[0], last = max(longest[0], now - last), now
            thread = threading.Thread(target=look)
            thread.start()
            print("predicting", os.getpid(), flush=True)
            sum(range(self.count))
            done.set()
            time.sleep(0.05)
            thread.join()
            return longest[0]
"""
