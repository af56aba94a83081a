"""A gateway before real instances, which come, go and are killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.func.supervisor.gateway.instances import read_head
from tests.func.supervisor.gateway.rig import (
    ECHO,
    Running,
    is_idle,
    request,
    running,
    serve_echo,
    statuses,
)
from tests.rig import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREDICTOR = """
import os, time

class P:
    example = {"n": 0}

    def predict(self, n: int, seconds: float = 0.002) -> dict:
        time.sleep(seconds)
        return {"n": n, "pid": os.getpid()}
"""
STREAM = """
import time

class P:
    def predict(self, n: int):
        for i in range(n):
            time.sleep(0.01)
            yield {"i": i}
"""


@dataclass
class Process:
    """An instance; `lines` are what it has logged."""

    child: subprocess.Popen[str]
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        """Its log, to the end."""
        assert self.child.stderr is not None
        for text in self.child.stderr:
            line: dict[str, Any] = json.loads(text) if text.startswith("{") else {"output": text}
            self.lines.append(line)
            if line.get("phase") == "listening":
                self.port = line["port"]
            if line.get("phase") in ("ready", "failed"):
                self.ready.set()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "predictor.py").write_text(PREDICTOR)
    serve = {"slots": 4, "concurrency": 8, "drain": "5s"}
    (tmp_path / "mlfunc.yaml").write_text(
        json.dumps({"name": "echo", "predictor": "predictor.py:P", "serve": serve})
    )
    return tmp_path


@contextlib.contextmanager
def instance(folder: Path) -> Iterator[Process]:
    """One that is ready, until the block ends."""
    env = {**os.environ, "MLFUNC_FUNCTION": str(folder / "mlfunc.yaml"), "MLFUNC_HOST": "127.0.0.1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "mlfunc_runtime"],
        env={**env, "PORT": "0", "MLFUNC_METRICS_PORT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        process = Process(child)
        reader = threading.Thread(target=process.read)
        reader.start()
        try:
            assert process.ready.wait(60), process.lines
            yield process
        finally:
            child.kill()
            reader.join()


@pytest.fixture
def gate() -> Iterator[Running]:
    with running() as here:
        here.call(lambda g: serve_echo(g, concurrency=8, timeout=60))
        yield here


def join(gate: Running, name: str, process: Process) -> None:
    gate.call(lambda g: g.join(ECHO, name, process.port))


def retire(gate: Running, name: str, process: Process) -> None:
    """As the fleet does it: no more requests, what it has is done, then it ends."""
    gate.call(lambda g: g.leave(ECHO, name))
    pause = threading.Event()
    while not gate.call(lambda g: is_idle(g, name)):
        pause.wait(0.01)
    assert process.end() == 0


def test_no_request_fails_while_instances_come_and_go(gate: Running, folder: Path) -> None:
    url = f"http://127.0.0.1:{gate.port}/"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(instance(folder))
        join(gate, "0", first)
        send = stack.enter_context(load.client(url, "echo.default.localhost", lambda n: {"n": n}))
        with load.steady(send, per_second=100) as outcome:
            before, number = first, 0
            for number in range(1, 4):
                after = stack.enter_context(instance(folder))
                join(gate, str(number), after)
                retire(gate, str(number - 1), before)
                before = after
        assert outcome.failed == []
        assert len(outcome.count("pid")) == 4
        assert [
            each.json()["n"] for each in outcome.outcomes if each.json()["n"] != each.number
        ] == []


def test_no_request_fails_from_one_to_none_and_back(gate: Running, folder: Path) -> None:
    url = f"http://127.0.0.1:{gate.port}/echo/"
    with contextlib.ExitStack() as stack:
        send = stack.enter_context(load.client(url, "127.0.0.1", lambda n: {"n": n}))
        with load.steady(send, per_second=50) as outcome:
            for number in range(2):
                process = stack.enter_context(instance(folder))  # requests wait meanwhile
                join(gate, str(number), process)
                retire(gate, str(number), process)
            last = stack.enter_context(instance(folder))
            join(gate, "last", last)
        assert outcome.failed == []
    (stats,) = gate.call(lambda g: g.stats())
    assert stats.held > 0
    assert stats.waiting == stats.in_flight == 0


def test_a_kill_costs_what_the_instance_had_and_nothing_else(gate: Running, folder: Path) -> None:
    url = f"http://127.0.0.1:{gate.port}/"
    with contextlib.ExitStack() as stack:
        doomed, other = (stack.enter_context(instance(folder)) for _ in range(2))
        join(gate, "doomed", doomed)
        send = stack.enter_context(
            load.client(url, "echo.default.localhost", lambda n: {"n": n, "seconds": 0.02})
        )
        with load.steady(send, per_second=300) as outcome:
            while len(outcome.outcomes) < 50:
                threading.Event().wait(0.01)
            os.kill(doomed.child.pid, signal.SIGKILL)
            join(gate, "other", other)
            doomed.child.wait(30)
            gate.call(lambda g: g.leave(ECHO, "doomed"))
            while not any(
                each.ok and each.json()["pid"] == other.child.pid for each in outcome.outcomes
            ):
                threading.Event().wait(0.01)
        assert {each.status for each in outcome.failed} <= {502}
        assert len(outcome.failed) <= 8  # what it may have at once


def test_a_thousand_clients_at_once_are_answered(gate: Running, folder: Path) -> None:
    body = b'{"n": 1}'
    sent = (
        request(
            f"Content-Length: {len(body)}", "Content-Type: application/json", line="POST / HTTP/1.1"
        )
        + body
    )

    async def client(started: asyncio.Semaphore) -> list[int]:
        async with started:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        found: list[int] = []
        for _ in range(3):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            found += statuses(head)
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
        return found

    async def crowd() -> list[list[int]]:
        started = asyncio.Semaphore(200)
        return await asyncio.gather(*(client(started) for _ in range(1000)))

    with instance(folder) as one, instance(folder) as two:
        join(gate, "one", one)
        join(gate, "two", two)
        assert asyncio.run(crowd()) == [[200] * 3] * 1000


def test_a_stream_comes_as_it_is_made_and_ends_when_the_client_leaves(
    gate: Running, folder: Path
) -> None:
    (folder / "predictor.py").write_text(STREAM)
    body = b'{"n": 100000}'
    head = request(
        f"Content-Length: {len(body)}", "Content-Type: application/json", line="POST / HTTP/1.1"
    )
    with instance(folder) as process:
        join(gate, "a", process)
        with gate.connect() as near:
            near.sendall(head + body)
            received = read_head(near)
            while b'data: {"i":2}' not in received.replace(b'"i": ', b'"i":'):
                received += near.recv(65536)
        pause = threading.Event()
        while not gate.call(is_idle):
            pause.wait(0.01)
        assert process.end() == 0  # nothing keeps it


def test_what_is_too_late_is_given_up_by_the_instance_too(gate: Running, folder: Path) -> None:
    gate.call(lambda g: serve_echo(g, concurrency=8, timeout=0.3))
    body = b'{"n": 1, "seconds": 2}'
    head = request(
        f"Content-Length: {len(body)}", "Content-Type: application/json", line="POST / HTTP/1.1"
    )
    with instance(folder) as process:
        join(gate, "a", process)
        with gate.connect() as near:
            near.sendall(head + body)
            assert statuses(near.recv(65536)) == [504]
        assert gate.call(is_idle)
        assert process.end() == 0


def test_a_socket_may_end_at_any_moment(gate: Running, folder: Path) -> None:
    """Clients that leave at each byte of a request: the next one is answered."""
    body = b'{"n": 1}'
    sent = (
        request(
            f"Content-Length: {len(body)}", "Content-Type: application/json", line="POST / HTTP/1.1"
        )
        + body
    )
    with instance(folder) as process:
        join(gate, "a", process)
        for end in range(0, len(sent), 3):
            with gate.connect() as near:
                near.sendall(sent[:end])
        with gate.connect() as near:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in sent:
                near.sendall(bytes([byte]))
            assert statuses(near.recv(65536)) == [200]
        assert gate.call(lambda g: g.load(ECHO)).in_flight == 0
