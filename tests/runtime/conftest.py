"""What tests of the runtime share: functions made of a few lines, in process or as a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest
from mlfunc_runtime.testing import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Write = Callable[..., Path]

# No function of a test lives longer: it is killed, so that whoever reads from it reads its end.
LIFETIME = 120.0


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A project: the source of a class P, and mlfunc.yaml as keywords."""

    def write(source: str, **document: Any) -> Path:
        (tmp_path / "predictor.py").write_text(textwrap.dedent(source))
        known = {"name": "sample", "predictor": "predictor.py:P", **document}
        (tmp_path / "mlfunc.yaml").write_text(json.dumps(known))
        return tmp_path

    return write


@pytest.fixture
def serve(write: Write) -> Iterator[Callable[..., Client]]:
    """A started function, in process."""
    started: list[Client] = []

    def serve(source: str, env: dict[str, str] | None = None, **document: Any) -> Client:
        client = Client(write(source, **document), env=env)
        started.append(client.__enter__())
        return client

    yield serve
    for client in started:
        client.__exit__()


@dataclass
class Process:
    """A function as a process of its own. `lines` are what it logged so far, as objects."""

    child: subprocess.Popen[str]
    port: int = 0
    metrics_port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    connections: list[HTTPConnection] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.close()
        self.child.kill()
        self.child.communicate()

    def until(self, phase: str) -> dict[str, Any]:
        """Read its log up to a phase, and return that line."""
        assert self.child.stderr is not None
        for text in self.child.stderr:
            line = self._keep(text)
            if line.get("phase") == "listening":
                self.port, self.metrics_port = line["port"], line["metrics_port"]
            if line.get("phase") == phase:
                return line
        raise AssertionError(f"it ended without {phase!r}: {self.told()}")

    def told(self) -> str:
        """How it ended, and its log so far, for whoever waits in vain."""
        return f"exit code {self.child.poll()}, {self.lines}, {self.others}"

    def call(
        self,
        body: bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        port: int = 0,
        **headers: str,
    ) -> HTTPResponse:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        self.connections.append(connection)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body or None, headers=sent)
        return connection.getresponse()

    def json(self, body: bytes) -> tuple[int, Any]:
        """Post JSON, and read JSON."""
        reply = self.call(body, content_type="application/json")
        return reply.status, json.loads(reply.read())

    def raw(self, sent: bytes) -> bytes:
        """Whatever it answers to these bytes, until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it, read the rest of its log, and return its exit code."""
        self.child.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Read the rest of its log, and return its exit code."""
        try:
            out, err = self.child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, err = self.child.communicate()
            raise AssertionError(f"it did not end: {self.told()}, {out}, {err}") from None
        self.others += (out or "").splitlines()
        for text in err.splitlines():
            self._keep(text)
        return self.child.returncode

    def _keep(self, text: str) -> dict[str, Any]:
        if not text.startswith("{"):
            self.others.append(text)
            return {}
        line: dict[str, Any] = json.loads(text)
        self.lines.append(line)
        return line


@pytest.fixture
def start(write: Write) -> Iterator[Callable[..., Process]]:
    """A real `python -m mlfunc_runtime`, on free ports."""
    running: list[Process] = []
    guards: list[threading.Timer] = []

    def start(
        source: str, env: dict[str, str] | None = None, *, until: str = "ready", **document: Any
    ) -> Process:
        folder = write(source, **document)
        variables = os.environ | {
            "PORT": "0",
            "MLFUNC_METRICS_PORT": "0",
            "MLFUNC_HOST": "127.0.0.1",
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "mlfunc_runtime"],
            cwd=folder,
            env=variables | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process = Process(child)
        running.append(process)
        guards.append(threading.Timer(LIFETIME, child.kill))
        guards[-1].start()
        if until:
            process.until(until)
        return process

    yield start
    for guard in guards:
        guard.cancel()
    for process in running:
        with process:
            pass


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class Sink(ThreadingHTTPServer):
    """Takes dead letters; `letters` are their envelopes by path, `statuses` its
    next answers, `most` how many it had at once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SinkHandler)
        self.statuses: list[int] = []
        self.now = self.most = 0
        self._counting = threading.Lock()
        self.letters: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def count(self, change: int) -> None:
        with self._counting:
            self.now += change
            self.most = max(self.most, self.now)


class SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        self.server.count(1)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.letters[self.path].append(json.loads(body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 202)
        self.send_header("Content-Length", "0")
        self.server.count(-1)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def metered(start: Callable[..., Process]) -> Callable[..., Process]:
    """A real server with a port for metrics."""

    def metered(source: str, **document: Any) -> Process:
        env = {"MLFUNC_METRICS_PORT": str(_free_port())}
        return start(source, env, **document)

    return metered


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
