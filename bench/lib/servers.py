"""Servers under test: started in a session of their own, watched, paused, ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from lib import processes
from lib.ask import OK, get, post

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BENCH = Path(__file__).parents[1]
REPOSITORY = BENCH.parent
FUNCTIONS = BENCH / "functions"
PEERS = BENCH / "peers"
_CORES = sorted(os.sched_getaffinity(0))
# A server's core is not the client's, where there are two.
SERVER_CORES, CLIENT_CORES = {_CORES[0]}, set(_CORES[1:]) or {_CORES[0]}
_START_SECONDS = 120.0
_END_SECONDS = 20.0
# Numeric libraries take as many threads as there are cores otherwise, and wait for each other.
ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)


@dataclass
class Server:
    """A running server."""

    name: str
    process: subprocess.Popen[str]
    port: int
    path: str = "/"
    metrics_port: int = 0
    began: float = field(default_factory=time.perf_counter)
    lines: SimpleQueue[str] = field(default_factory=SimpleQueue)
    last_line: str = ""

    @property
    def cpu(self) -> float:
        """CPU seconds of its processes so far."""
        return processes.cpu(self.process.pid)

    @property
    def rss(self) -> int:
        """Bytes of its processes in RAM."""
        return processes.memory(self.process.pid)

    @property
    def size(self) -> int:
        """How many processes it is."""
        return len(processes.tree(self.process.pid))

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        for stat in processes.tree(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(stat.pid, number)

    @contextmanager
    def awake(self) -> Iterator[Server]:
        """A paused server runs until the block ends: those beside it use no CPU meanwhile."""
        self.signal(signal.SIGCONT)
        try:
            yield self
        finally:
            self.signal(signal.SIGSTOP)

    def metric(self, name: str) -> float:
        """The sum of a Prometheus metric over its labels; 0 where there is none."""
        _, body = get(self.metrics_port, "/metrics")
        rows = (line.rpartition(" ") for line in body.decode().splitlines() if line[:1] != "#")
        return sum(float(value) for key, _, value in rows if key.partition("{")[0] == name)

    def phase(self, name: str) -> dict[str, Any]:
        """Wait for a log line with this phase. Lines before it are lost.

        Raises:
            RuntimeError: the server failed, ended or took too long.

        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                line = self.lines.get(timeout=deadline - time.monotonic())
            except (Empty, ValueError):
                raise RuntimeError(f"{self.name}: no {name} within {_START_SECONDS} s") from None
            if not line:
                raise RuntimeError(f"{self.name} ended before {name}: {self.last_line}")
            self.last_line = line
            found = _json(line)
            if found.get("phase") in (name, "failed"):
                if found["phase"] != name:
                    raise RuntimeError(f"{self.name} failed: {line}")
                return found

    def end(self) -> int:
        """SIGTERM, then SIGKILL to what is left; the exit code."""
        self.signal(signal.SIGCONT)
        left = {stat.pid for stat in processes.tree(self.process.pid)}
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.process.kill()
        code = self.process.wait()
        left |= {stat.pid for stat in processes.tree(self.process.pid)}
        processes.kill(left - {self.process.pid})
        return code


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start_function(
    folder: Path, env: Mapping[str, str] | None = None, *, cores: set[int] | None = None
) -> Server:
    """Start `python -m mlfunc_runtime` on a function's folder; it is not ready yet."""
    port, metrics_port = free_port(), free_port()
    told = {
        "MLFUNC_FUNCTION": str(folder / "mlfunc.yaml"),
        "MLFUNC_HOST": "127.0.0.1",
        "PORT": str(port),
        "MLFUNC_METRICS_PORT": str(metrics_port),
    }
    command = [sys.executable, "-m", "mlfunc_runtime"]
    server = _start("mlfunc", command, {**told, **(env or {})}, port, cores)
    server.metrics_port = metrics_port
    return server


@contextmanager
def function(name: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve a function of bench/functions, or of another folder, until the block ends; ready when
    it begins.
    """
    server = start_function(FUNCTIONS / name, env)
    try:
        server.phase("ready")
        yield server
    finally:
        server.end()


@contextmanager
def peer(
    name: str, command: list[str], example: Any, *, path: str = "/", shared: str = ""
) -> Iterator[Server]:
    """Run another server until the block ends; `{port}` in the command is its port.

    It is ready when it has answered `example`. `shared`: the function whose folder it imports from.
    """
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    told = {**ONE_THREAD, "PYTHONPATH": str(FUNCTIONS / shared)}
    server = _start(name, [sys.executable, *words], told, port, SERVER_CORES)
    server.path = path
    try:
        _wait_for_answer(server, example)
        yield server
    finally:
        server.end()


@contextmanager
def paused(*servers: Any) -> Iterator[dict[str, Server]]:
    """Start servers, one after the other, each paused once it is ready."""
    with ExitStack() as stack:
        started: dict[str, Server] = {}
        for context in servers:
            server = stack.enter_context(context)
            server.signal(signal.SIGSTOP)
            started[server.name] = server
        yield started


def _start(
    name: str, command: list[str], env: Mapping[str, str], port: int, cores: set[int] | None
) -> Server:
    with processes.pinned(cores or SERVER_CORES):
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            cwd=BENCH,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    server = Server(name, process, port, began=began)
    threading.Thread(target=_read, args=(server,), daemon=True).start()
    return server


def _read(server: Server) -> None:
    """An empty line is the end. Its output is read, else it would block when the pipe is full."""
    assert server.process.stderr is not None
    for line in server.process.stderr:
        server.lines.put(line)
    server.lines.put("")


def _wait_for_answer(server: Server, example: Any) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with suppress(OSError):
            if post(server.port, example, server.path)[0] == OK:
                return
        time.sleep(0.05)
    said = "".join(server.lines.get() for _ in range(server.lines.qsize()))
    raise RuntimeError(f"{server.name} does not answer: {said[-2000:]}")


def _json(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
