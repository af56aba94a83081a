"""What tests of the command line share: a home of their own, a project, a server to talk to."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from mlfunc.cache import holding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[["Handler"], None]

PREDICTOR = '''
class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return f"Hello {name}"
'''


@pytest.fixture(autouse=True)
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """No test sees or leaves anything in the user's own cache, or sees their cluster."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MLFUNC_HOME", str(folder))
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    monkeypatch.setenv("NO_COLOR", "1")
    yield folder
    holding.let_go()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The smallest function there is."""
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "mlfunc.yaml").write_text("name: greeter\npredictor: predictor.py:Greeter\n")
    (folder / "predictor.py").write_text(PREDICTOR)
    return folder


@dataclass
class Server:
    """A server that answers as a test tells it to, and keeps what it was sent."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the test's answer for its method."""

    protocol_version = "HTTP/1.1"
    state: Server

    def answer(self) -> None:
        """Keep the request, and reply."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        sent = {name.lower(): value for name, value in self.headers.items()}
        self.state.requests.append((self.path, sent, body))
        self.state.connections.add(self.client_address)
        self.state.answers[self.command](self)

    do_GET = do_POST = answer

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole reply; underscores in header names stand for dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, *parts: bytes, content_type: str = "text/event-stream") -> None:
        """A reply in chunks."""
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in (*parts, b""):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: the test's output is the test's."""


class PatientServer(ThreadingHTTPServer):
    """One that takes clients for what they are: they leave when they like."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Show what is an error of a test's answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port, until the test ends."""
    state = Server()
    handler = type("Bound", (Handler,), {"state": state})
    with PatientServer(("127.0.0.1", 0), handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()
