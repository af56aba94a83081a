"""A registry that keeps to the letter of the distribution specification, and can be told to fail.

docker-registry gives up a session whose chunk broke off; this one keeps every byte that came.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE = 1 << 16


@dataclass
class Spec:
    """What it has, what it was asked, and how it behaves.

    `fails`: the first requests "METHOD" that are answered with a status and headers instead.
    """

    chunks: bool = True
    least: int = 0  # OCI-Chunk-Min-Length
    location: str = ""  # where it wants uploads sent; {} is their number
    elsewhere: str = ""  # where its blobs lie: HOST:PORT
    late: int = 0  # so many bytes of a session it does not own up to when it is asked first
    fails: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    sessions: dict[str, bytearray] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, str], float]] = field(default_factory=list)
    received: int = 0

    def asked(self, method: str) -> list[tuple[str, dict[str, str], float]]:
        """Path, headers and moment of the requests with a method."""
        return [(path, headers, at) for m, path, headers, at in self.log if m == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    spec: Spec

    def _serve(self) -> None:
        spec, path = self.spec, urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        spec.log.append((self.command, self.path, headers, time.monotonic()))
        if spec.fails and spec.fails[0][0] == self.command:
            _, status, more = spec.fails.pop(0)
            self._drop()
            return self._reply(status, more)
        kinds: dict[str, Callable[[str], None]] = {
            "/uploads/": self._upload,
            "/blobs/": self._blob,
            "/manifests/": self._manifest,
        }
        for part, serve in kinds.items():
            if part in path:
                return serve(path.rpartition("/")[2])
        return self._reply(200)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _upload(self, name: str) -> None:
        spec = self.spec
        if self.command == "POST":
            name = str(len(spec.sessions) + 1)
            spec.sessions[name] = bytearray()
            least = {"OCI-Chunk-Min-Length": str(spec.least)} if spec.least else {}
            return self._reply(202, {**self._where(name), **least})
        held = spec.sessions[name]
        if self.command == "PATCH" and not spec.chunks:
            self._drop()
            return self._reply(405)
        start = self.headers.get("Content-Range", "").partition("-")[0]
        if start and int(start) != len(held):
            self._drop()
            return self._reply(416, self._where(name))
        if self.command in {"PATCH", "PUT"} and not self._take(held):
            return None
        if self.command == "PUT":
            return self._finish(held)
        if self.command == "GET":
            missing, spec.late = min(spec.late, len(held)), 0
            return self._reply(204, self._where(name, len(held) - missing))
        return self._reply(202, self._where(name))

    def _finish(self, held: bytearray) -> None:
        (digest,) = parse_qs(urlsplit(self.path).query)["digest"]
        if "sha256:" + hashlib.sha256(held).hexdigest() != digest:
            return self._reply(400)
        self.spec.blobs[digest] = bytes(held)
        return self._reply(201)

    def _take(self, held: bytearray) -> bool:
        """Keep what comes, also of a body that breaks off."""
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = b""
            with contextlib.suppress(OSError):
                piece = self.rfile.read1(min(left, _PIECE))
            if not piece:
                self.close_connection = True
                return False
            held += piece
            self.spec.received += len(piece)
            left -= len(piece)
        return True

    def _drop(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _blob(self, digest: str) -> None:
        data = self.spec.blobs.get(digest)
        if data is None:
            return self._reply(404)
        if self.spec.elsewhere and self.command == "GET":
            return self._reply(307, {"Location": f"http://{self.spec.elsewhere}{self.path}"})
        return self._reply(200, {}, data)

    def _manifest(self, target: str) -> None:
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self.spec.manifests[target] = (self.headers["Content-Type"], data)
            return self._reply(201)
        if target not in self.spec.manifests:
            return self._reply(404)
        kind, data = self.spec.manifests[target]
        return self._reply(200, {"Content-Type": kind}, data)

    def _where(self, name: str, size: int | None = None) -> dict[str, str]:
        location = self.spec.location or "/v2/x/blobs/uploads/{}"
        end = max(0, (len(self.spec.sessions[name]) if size is None else size) - 1)
        return {"Location": location.format(name), "Range": f"0-{end}"}

    def _reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(spec: Spec) -> Iterator[Spec]:
    """Let it answer on loopback until the block ends."""
    handler = type("Handler", (_Handler,), {"spec": spec})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec.address = f"127.0.0.1:{server.server_port}"
        yield spec
        server.shutdown()
