"""An API server on loopback that says what a test has written down, request by request.

It knows nothing of objects: what a real one says, the tests on a cluster see.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def watches(self) -> bool:
        """Whether it is one that goes on."""
        return self.query.get("watch") == "true"


@dataclass(frozen=True)
class Reply:
    """What is said: `body` at once, or `lines` one by one; then `ends` how.

    "close": as HTTP wants it. "cut": in the midst. "hang": not before the client has left.
    """

    status: int = 200
    body: Any = None
    lines: tuple[Any, ...] = ()
    ends: str = "close"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ApiServer:
    """The server: `answer` gives the reply to each request, from whatever thread."""

    url: str
    answer: Callable[[Asked], Reply]
    asked: list[Asked] = field(default_factory=list)
    left: SimpleQueue[Asked] = field(default_factory=SimpleQueue)

    def kubeconfig(self, path: Path, **user: Any) -> Path:
        """A kubeconfig that leads here, as `user`."""
        cluster = {"name": "loopback", "cluster": {"server": self.url}}
        context = {"cluster": "loopback", "user": "tester", "namespace": "team"}
        document = {
            "clusters": [cluster],
            "users": [{"name": "tester", "user": user or {"token": "sesame"}}],
            "contexts": [{"name": "loopback", "context": context}],
            "current-context": "loopback",
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


@contextlib.contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[ApiServer]:
    """A server on a free port until the block ends."""
    state = ApiServer("", answer)
    handler = type("Bound", (_Handler,), {"state": state})
    with _Patient(("127.0.0.1", 0), handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    """An answer: these replies, one after the other; the last for all that come later."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def status(code: int, reason: str | None, message: str, **details: Any) -> Reply:
    """A refusal, as an API server writes it."""
    told = {"kind": "Status", "status": "Failure", "message": message, "code": code, "metadata": {}}
    more = {"details": details} if details else {}
    return Reply(code, {**told, **({"reason": reason} if reason else {}), **more})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for a reply: for the second, TCP would wait
    state: ApiServer

    def _handle(self) -> None:
        url = urlsplit(self.path)
        asked = Asked(
            self.command,
            url.path,
            dict(parse_qsl(url.query)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        self.state.asked.append(asked)
        reply = self.state.answer(asked)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.lines or reply.ends != "close" or (asked.watches and reply.status == 200):
            self._stream(asked, reply)
        else:
            self._whole(reply)

    do_GET = do_PATCH = do_DELETE = do_POST = _handle

    def _whole(self, reply: Reply) -> None:
        data = _bytes(reply.body)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, asked: Asked, reply: Reply) -> None:
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for line in reply.lines:
            data = _bytes(line) + (b"" if isinstance(line, bytes) else b"\n")
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        if reply.ends == "hang":
            self.rfile.read(1)  # nothing comes but the end of the connection
            self.state.left.put(asked)
        if reply.ends == "close":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = reply.ends != "close"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: the test's output is the test's."""


class _Patient(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave when they like."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
