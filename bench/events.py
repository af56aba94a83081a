"""Events through a broker of the local platform and a trigger to a function: how many a second;
and the same while its supervisor is killed with SIGKILL, to see what is lost.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lib import report
from lib.report import Claim
from lib.servers import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MLFUNC = REPOSITORY / ".venv" / "bin" / "mlfunc"
EVENTS = 10_000
SENDERS = 16
DATA = {"text": "What a happy dog, I love it!" * 8}
PATIENCE = 120.0
# It notes on the disk what it was sent: what is in its memory ends with the supervisor.
FUNCTION = """
class Noting:
    def load(self, context):
        self.file = open(context.config["path"], "ab", buffering=0)

    def predict(self, event):
        self.file.write(event.get_id().encode() + b"\\n")
"""
SETTINGS = """
name: noting
predictor: predictor.py:Noting
config: {{path: {path}}}
scale: {{min: 1, max: 1}}
events: {{subscriptions: [{{filter: {{type: noted}}, retry: 20}}]}}
"""


@dataclass
class Platform:
    """A supervisor of this bench's own, which can be killed."""

    env: Mapping[str, str]
    pid: int = 0
    port: int = 0

    def start(self) -> None:
        """On the port that it had."""
        command(self.env, "platform", "start", "--port", str(self.port))
        told = json.loads(command(self.env, "platform", "status", "-o", "json"))
        self.pid, self.port = told["pid"], int(told["gateway"].rpartition(":")[2])

    def kill(self) -> None:
        """As the kernel does that is out of memory."""
        os.kill(self.pid, signal.SIGKILL)
        self.start()


@dataclass
class Sending:
    """Events that are yet to be sent; what is not answered with 202 is sent again, by its id."""

    prefix: str
    left: Iterator[int] = field(default_factory=lambda: iter(range(EVENTS)))
    accepted: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, platform: Platform) -> None:
        """One of those who send."""
        connection = None
        while (id_ := self._next()) is not None:
            while id_ not in self.accepted:
                try:
                    connection = connection or http.client.HTTPConnection(
                        "127.0.0.1", platform.port, timeout=30
                    )
                    if send(connection, id_) == http.HTTPStatus.ACCEPTED:
                        self.accepted.add(id_)
                except (OSError, http.client.HTTPException):
                    connection = None
                    time.sleep(0.01)
        if connection:
            connection.close()

    def _next(self) -> str | None:
        with self.lock:
            number = next(self.left, None)
        return None if number is None else f"{self.prefix}-{number}"


@dataclass(frozen=True)
class Passed:
    """What came of all events: seconds until they were taken, and until they were delivered."""

    taken: float
    delivered: float
    lost: int
    again: int  # deliveries of what was delivered before


def main() -> None:
    options = report.arguments(__doc__, seconds=0, rounds=3)
    told = {"events": EVENTS, "senders": SENDERS, "bytes": len(json.dumps(DATA))}
    report.title("events", options, **told)
    with tempfile.TemporaryDirectory() as folder, platform(Path(folder)) as running:
        notes = Path(folder, "notes")
        calm = passing(running, notes, "calm", kills=0)
        killed = passing(running, notes, "killed", kills=options.rounds)
    show(calm, killed, options.rounds)


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """With the function deployed."""
    env = {**os.environ, "MLFUNC_HOME": str(folder / "home"), "MLFUNC_PLATFORM": "local"}
    running = Platform(env)
    running.start()
    try:
        project = folder / "noting"
        project.mkdir()
        (project / "predictor.py").write_text(FUNCTION)
        (project / "mlfunc.yaml").write_text(SETTINGS.format(path=folder / "notes"))
        command(env, "deploy", "--path", str(project))
        yield running
    finally:
        command(env, "platform", "stop")


def command(env: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(
        [MLFUNC, *arguments], env=env, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def passing(running: Platform, notes: Path, prefix: str, kills: int) -> Passed:
    """Send all, kill in between at even shares, and wait until all is delivered."""
    notes.write_bytes(b"")
    sending = Sending(prefix)
    senders = [threading.Thread(target=sending.run, args=(running,)) for _ in range(SENDERS)]
    began = time.perf_counter()
    for each in senders:
        each.start()
    for number in range(kills):
        while len(sending.accepted) < EVENTS * (number + 1) // (kills + 1):
            time.sleep(0.001)
        running.kill()
    for each in senders:
        each.join()
    taken = time.perf_counter() - began
    noted = noted_until(notes, sending.accepted)
    delivered = time.perf_counter() - began
    return Passed(
        taken, delivered, len(sending.accepted - noted.keys()), noted.total() - len(noted)
    )


def noted_until(notes: Path, wanted: set[str]) -> Counter[str]:
    """What is noted once all that is wanted is, or nothing has come for long."""
    size, until = -1, 0.0
    while True:
        if notes.stat().st_size != size:
            size, until = notes.stat().st_size, time.monotonic() + PATIENCE
            found = Counter(notes.read_text().split())
            if wanted <= found.keys() or time.monotonic() > until:
                return found
        elif time.monotonic() > until:
            return Counter(notes.read_text().split())
        time.sleep(0.02)


def send(connection: http.client.HTTPConnection, id_: str) -> int:
    event = {"specversion": "1.0", "id": id_, "source": "/bench", "type": "noted", "data": DATA}
    headers = {"content-type": "application/cloudevents+json"}
    connection.request("POST", "/-/broker/default/default", json.dumps(event), headers)
    reply = connection.getresponse()
    reply.read()
    return reply.status


def show(calm: Passed, killed: Passed, kills: int) -> None:
    head = ("", "taken/s", "delivered/s", "delivered again", "lost")
    rows = [
        (name, EVENTS / each.taken, EVENTS / each.delivered, each.again, each.lost)
        for name, each in (("nothing is killed", calm), (f"killed {kills} times", killed))
    ]
    report.table(head, rows)
    text = f"none of {EVENTS} events that were accepted is lost, with {kills} kills in between"
    report.claims(Claim(text, f"{killed.lost} lost", killed.lost == calm.lost == 0))


if __name__ == "__main__":
    report.main(main)
