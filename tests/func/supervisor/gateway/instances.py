"""Instances for tests: they say what they were sent, or do what a test tells them to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Instance:
    """One that listens; `requests` has the heads and bodies that it was sent."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    instance: Instance

    def _answer(self) -> None:
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.instance.requests.append((self.requestline, headers, body))
        told = json.dumps(
            {
                "line": self.requestline,
                "headers": headers,
                "size": len(body),
                "body": body[:1000].decode("latin-1"),
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    do_GET = do_POST = do_HEAD = do_PUT = do_OPTIONS = do_PROPFIND = _answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave when they like."""


@contextlib.contextmanager
def echo() -> Iterator[Instance]:
    """One that says what it was sent."""
    instance = Instance()
    handler = type("Bound", (_Echo,), {"instance": instance})
    with _Server(("127.0.0.1", 0), handler) as http:
        instance.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield instance
        http.shutdown()
        thread.join()


@contextlib.contextmanager
def scripted(*scripts: Callable[[socket.socket], None]) -> Iterator[Instance]:
    """One that does with its first connection what the first script says, and so on."""
    instance = Instance()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        instance.port = listener.getsockname()[1]

        def act() -> None:
            for script in scripts:
                near, _ = listener.accept()
                with near:
                    near.settimeout(20)
                    script(near)

        thread = threading.Thread(target=act)
        thread.start()
        yield instance
        thread.join()


def read_head(near: socket.socket) -> bytes:
    """Up to the empty line, and what came with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = near.recv(65536)
        if not piece:
            break
        received += piece
    return received
