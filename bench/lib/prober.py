"""Health probes at a fixed rate, from a process of their own: python prober.py PORT INTERVAL.

Prints a line when it begins and, when its input ends, a JSON list of [when it was due, seconds
until the answer].
A probe that could not be sent because the one before had no answer yet counts from when it was due.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUEST = b"GET /health/liveness HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass
class Probes:
    """Filled when the probing is over: (due, seconds), on the clock of `time.perf_counter`."""

    taken: list[tuple[float, float]] = field(default_factory=list)

    def seconds(self) -> list[float]:
        """How long each took."""
        return [seconds for _, seconds in self.taken]

    def longest(self, began: float, ended: float) -> float:
        """The longest that was under way between two times; 0 where none was."""
        near = [s for due, s in self.taken if due < ended and due + s > began]
        return max(near, default=0.0)


@contextmanager
def probing(port: int, interval: float) -> Iterator[Probes]:
    """Probe from the block's beginning until it ends."""
    from lib.processes import pinned
    from lib.servers import CLIENT_CORES

    command = [sys.executable, __file__, str(port), str(interval)]
    with pinned(CLIENT_CORES):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    probes = Probes()
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield probes
    finally:
        said, _ = process.communicate()
    probes.taken = [(due, seconds) for due, seconds in json.loads(said)]


def probe(port: int, interval: float, over: threading.Event) -> list[tuple[float, float]]:
    """Probe on one keep-alive connection until it is over."""
    taken: list[tuple[float, float]] = []
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("begins", flush=True)
    due = time.perf_counter()
    while not over.is_set():
        connection.sendall(_REQUEST)
        reply = b""
        while b"\r\n\r\n" not in reply:
            reply += _received(connection)
        taken.append((due, time.perf_counter() - due))
        due += interval
        time.sleep(max(0.0, due - time.perf_counter()))
    return taken


def _received(connection: socket.socket) -> bytes:
    """The liveness answer is so small that head and body come together.

    Raises:
        ConnectionError: the server has closed it.

    """
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed while it was probed")
    return data


def _main() -> None:
    over = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]), over)))


if __name__ == "__main__":
    _main()
