"""A process with nothing but a broker, to be killed: its API on a Unix socket, one Trigger.

python -m tests.rig.brokering STATE SOCKET SUBSCRIBER
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc.supervisor.api.brokers import Brokers
from mlfunc.supervisor.broker import journal
from mlfunc.supervisor.broker.broker import Broker
from mlfunc.supervisor.http.server import Server
from mlfunc.supervisor.state.committing import Committer
from mlfunc.supervisor.state.objects import Objects

from tests.rig.broker import FakeGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


class Connection(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Subscriber:
    """Counts the ids of the events that it is sent; `fail` has it answer 503."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self.fail = False
        self.changed = threading.Condition()

    def take(self, id_: str) -> int:
        with self.changed:
            self.ids[id_] += 1
            self.changed.notify_all()
        return 503 if self.fail else 202

    def until(self, ids: set[str]) -> None:
        """All of them have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: ids <= self.ids.keys(), timeout=60)


@contextlib.contextmanager
def subscriber() -> Iterator[tuple[Subscriber, str]]:
    """One that listens, and where."""
    found = Subscriber()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(found.take(self.headers["ce-id"]))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found, f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def process(state: Path, path: Path, to: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process; it is killed in the end."""
    path.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "tests.rig.brokering", str(state), str(path), to]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            yield child
        finally:
            child.kill()


def emit(connection: Connection, id_: str) -> int:
    """Its status."""
    event = {"specversion": "1.0", "id": id_, "source": "/test", "type": "order", "data": {"n": 1}}
    headers = {"content-type": "application/cloudevents+json"}
    connection.request("POST", "/-/broker/default/default", json.dumps(event), headers)
    reply = connection.getresponse()
    reply.read()
    return reply.status


async def _serve(state: Path, path: Path, to: str) -> None:
    objects = Objects()
    Brokers(objects, "http://127.0.0.1")
    objects.write(_trigger(to))
    broker = Broker(Committer(state, journal.SCHEMA), objects, FakeGateway())
    await broker.start()
    server = Server(broker.handle)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    await server.listen(listening)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _trigger(to: str) -> dict[str, Any]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": "all", "namespace": "default"},
        "spec": {
            "broker": "default",
            "subscriber": {"uri": to},
            "delivery": {"retry": 100, "backoffPolicy": "linear", "backoffDelay": "PT0.1S"},
        },
    }


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
