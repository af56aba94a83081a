"""A hub and its store on loopback, as models are fetched from them: with what may go wrong."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMIT = "c0ffee" * 6 + "beef"


class Store(ThreadingHTTPServer):
    """Files by path, given in ranges. `breaks`: how many answers end after `after` bytes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), StoreHandler)
        self.files = dict(files)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.breaks = 0
        self.after = 1000
        self.ranges = True
        self.signature = 1
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is none."""


class StoreHandler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.seen.append((self.path, dict(self.headers)))
            status = server.statuses.pop(0) if server.statuses else 200
        path, _, query = self.path.partition("?")
        if status == 200 and query and query != f"signature={server.signature}":
            status = 403
        data = server.files.get(path.lstrip("/"))
        if status == 200 and data is None:
            status = 404
        if status != 200 or data is None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._give(data)

    def _give(self, data: bytes) -> None:
        first, last = 0, len(data) - 1
        if self.server.ranges and (wished := self.headers.get("Range")):
            first, last = map(int, wished.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.send_response(206 if self.server.ranges else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        with self.server.lock:
            broken = self.server.breaks > 0
            self.server.breaks -= broken
        self.wfile.write(part[: self.server.after] if broken else part)
        self.close_connection = self.close_connection or broken

    def log_message(self, *_: object) -> None:
        pass


class Hub(ThreadingHTTPServer):
    """Leads to the store, as hubs do with what is large."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: Store, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.store = store
        self.token = token
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append(self.path)
        prefix = f"/org/name/resolve/{COMMIT}/"
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.send_response(401)
        elif not self.path.startswith(prefix):
            self.send_response(404)
        else:
            self.send_response(302)
            rest = self.path.removeprefix(prefix)
            self.send_header("Location", f"{hub.store.url}/{rest}?signature={hub.store.signature}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*servers: ThreadingHTTPServer) -> Iterator[None]:
    """While they answer."""
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def listed(path: Path, uri: str, files: Mapping[str, bytes]) -> Path:
    """The list of a model's files, as an image has it."""
    entries = [
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    path.write_text(json.dumps({"uri": uri, "revision": COMMIT, "files": entries}))
    return path
