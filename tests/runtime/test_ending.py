"""The end of a function under load: whatever was accepted is done, or told to somebody."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import LIFETIME
from .isolated import eventually, metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Process, Sink

    Start = Callable[..., Process]

KILLS = 200
JSON = {"Content-Type": "application/json"}
LOST = "after_response is lost"
SEED = 20261125
PREDICTOR = """
import os, time
LOG = os.open(os.environ["EXECUTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
SLOW = float(os.environ["SLOW"])

class P:
    def predict(self, id: str) -> str:
        time.sleep(0.002 + hash(id) % 9 / 1000)
        os.write(LOG, f"predicted {id}\\n".encode())
        return id
    def after_response(self, result):
        time.sleep(SLOW * (1 + hash(result) % 10) / 10)
        os.write(LOG, f"executed {result}\\n".encode())
    def unload(self): time.sleep(0.1)  # who comes now comes too late
"""


@dataclass
class Clients:
    """Clients that send ids on kept connections until nobody listens any more."""

    port: int
    answered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def open(self) -> HTTPConnection:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.connect()
        return connection

    def send_late(self, connection: HTTPConnection, name: str, after: float) -> None:
        """One request on a connection that was opened long before."""
        time.sleep(after)
        self._send_one(connection, name)
        connection.close()

    def send(self, name: str) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        for number in range(10_000):
            told = self._send_one(connection, f"{name}-{number}")
            if told is self.closed:
                connection.close()
            if told is self.closed and not self._listens():
                break
        connection.close()

    def _send_one(self, connection: HTTPConnection, name: str) -> list[str]:
        told = self._told(connection, name)
        told.append(name)
        return told

    def _told(self, connection: HTTPConnection, name: str) -> list[str]:
        body = json.dumps({"id": name})
        try:
            connection.request("POST", "/", body, JSON | {"X-Request-Id": name})
            reply = connection.getresponse()
            said = reply.read()
        except (ConnectionError, BadStatusLine):
            return self.closed
        if reply.status == 503:
            assert reply.headers["Retry-After"]
            return self.cut_off if b"is stopping" in said else self.refused
        return self.answered if (reply.status, json.loads(said)) == (200, name) else self.odd

    def _listens(self) -> bool:
        try:
            self.open().close()
        except ConnectionError:
            return False
        return True


@dataclass
class Kill:
    """When and how one server is stopped."""

    number: int
    after: float
    phase: str
    drain: float
    slow: float
    hurried: bool

    @classmethod
    def number_of(cls, number: int) -> Kill:
        """A fifth is stopped with more to do than time for it, a tenth while it starts."""
        dice = random.Random(SEED + number)
        hurried = number % 5 == 0
        return cls(
            number,
            dice.uniform(0, 0.3),
            "listening" if number % 10 == 1 else "ready",
            dice.uniform(2.0, 3.0) if hurried else 30.0,
            4.0 if hurried else 0.02,
            hurried,
        )


def run_and_kill(kill: Kill, folder: Path, sink: Sink) -> list[str]:
    """Everything about one kill that is not as promised."""
    executed = folder / f"{kill.number}.log"
    variables = {
        "PORT": "0",
        "MLFUNC_METRICS_PORT": "0",
        "MLFUNC_HOST": "127.0.0.1",
        "MLFUNC_SERVE_DRAIN": f"{kill.drain:.3f}s",
        "MLFUNC_DEAD_LETTER": f"{sink.url}/{kill.number}",
        "EXECUTED": str(executed),
        "SLOW": str(kill.slow),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "mlfunc_runtime"],
        cwd=folder,
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(LIFETIME, child.kill)
    guard.start()
    with child:
        lines, clients = under_load(child, kill)
    guard.cancel()
    written = (
        [line.split() for line in executed.read_text().splitlines()] if executed.exists() else []
    )
    letters = sink.letters[f"/{kill.number}"]
    found = failures(child.returncode, lines, clients, written, letters)
    return found + ["it had the time"] * (child.returncode == 3 and not kill.hurried)


def under_load(child: subprocess.Popen[str], kill: Kill) -> tuple[list[dict[str, Any]], Clients]:
    assert child.stderr is not None
    lines: list[dict[str, Any]] = []
    port = 0
    for text in child.stderr:
        lines.append(json.loads(text))
        port = lines[-1].get("port", port)
        if lines[-1].get("phase") == kill.phase:
            break
    clients = Clients(port)
    threads = [threading.Thread(target=clients.send, args=(f"c{n}",)) for n in range(4)]
    for number in range(4):  # while it drains, and when it is about to leave
        # Opened here: a thread may not come to it before the server has left.
        late = (clients.open(), f"late{number}", kill.after + 0.02 + number * 0.04)
        threads.append(threading.Thread(target=clients.send_late, args=late))
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, child.stderr or ())))
    for thread in (reader, *threads):
        thread.start()
    time.sleep(kill.after)
    child.send_signal(signal.SIGTERM)
    for thread in (reader, *threads):
        thread.join()
    return lines, clients


def failures(
    code: int,
    lines: list[dict[str, Any]],
    clients: Clients,
    written: list[list[str]],
    letters: list[dict[str, Any]],
) -> list[str]:
    last = lines[-1]
    executed = [name for what, name in written if what == "executed"]
    predicted = {name for what, name in written if what == "predicted"}
    lettered = [letter["data"]["request"]["body"]["id"] for letter in letters]
    # Letters that a sink on a busy machine had no time for are in the log; it may have them all the same.
    told = {line["request_id"] for line in lines if line["message"].startswith(LOST)}
    left = lettered + sorted(told - set(lettered))
    undone = bool(last.get("in_flight") or last.get("hooks") or not last.get("unloaded"))
    claims = {
        "its last line says that it stopped": last.get("phase") == "stopped",
        "a reply is right, or refuses": not clients.odd,
        "what was accepted was done once, or told": sorted(clients.answered)
        == sorted(executed + left),
        "what was closed or refused had not run": not predicted
        & {*clients.closed, *clients.refused},
        "its line tells the letters": last.get("dead_lettered") == len(left) - len(told),
        "its line tells the hooks": last.get("hooks") == len(left),
        "its line tells the requests": last.get("in_flight") == len(clients.cut_off),
        "its code tells of work undone": code == (3 if undone else 0),
    }
    return [claim for claim, holds in claims.items() if not holds]


def test_nothing_is_lost_when_it_is_killed_at_200_random_times(
    write: Callable[..., Path], sink: Sink
) -> None:
    folder = write(PREDICTOR)
    kills = [Kill.number_of(number) for number in range(KILLS)]
    with ThreadPoolExecutor(6) as pool:
        broken = list(pool.map(lambda kill: run_and_kill(kill, folder, sink), kills))
    assert [(kill, found) for kill, found in zip(kills, broken, strict=True) if found] == []
    assert sum(map(len, sink.letters.values())) > KILLS / 10  # some had no time, and told


CUT = """
    import time
    class P:
        def predict(self, n: int) -> int:
            if n: print("predicting", flush=True)
            time.sleep(n)
            return n
        def after_response(self, result): time.sleep(60)
"""


def test_a_request_that_the_drain_has_no_time_for_is_refused_and_told(
    start: Start, sink: Sink
) -> None:
    process = start(CUT, {"MLFUNC_DEAD_LETTER": sink.url}, serve={"drain": "1s"})
    assert process.json(b'{"n": 0}') == (200, 0)
    replies: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: replies.append(process.json(b'{"n": 30}')))
    asking.start()
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "predicting\n"
    assert process.stop() == 3
    asking.join()
    ((status, problem),) = replies
    assert (status, problem["detail"]) == (503, "the function is stopping; send it again")
    last = {key: process.lines[-1][key] for key in ("in_flight", "hooks", "dead_lettered")}
    assert last == {"in_flight": 1, "hooks": 1, "dead_lettered": 1}
    assert len(sink.letters["/"]) == 1


STREAM = """
    import time
    class P:
        def predict(self, n: int):
            for i in range(n):
                yield i
                time.sleep(0.1)
"""


@pytest.mark.parametrize(("drain", "code", "end"), [("20s", 0, "end"), ("1s", 3, "error")])
def test_a_stream_ends_with_its_end_marker_or_with_an_error(
    start: Start, drain: str, code: int, end: str
) -> None:
    process = start(STREAM, serve={"drain": drain})
    reply = process.call(b'{"n": 20}', content_type="application/json")
    received = [reply.readline()]
    process.child.send_signal(signal.SIGTERM)
    received += reply.readlines()
    assert process.wait() == code
    assert [line for line in received if line.startswith(b"event:")] == [f"event: {end}\n".encode()]


def test_a_second_signal_names_the_requests_whose_hooks_it_drops(start: Start) -> None:
    process = start(CUT)
    for number in range(3):
        process.call(b'{"n": 0}', content_type="application/json", x_request_id=f"r{number}").read()
    process.child.send_signal(signal.SIGTERM)
    process.until("draining")
    assert process.stop() == 3
    last = process.lines[-1]
    assert (last["phase"], last["hooks"]) == ("stopped", 3)
    assert last["request_ids"] == ["r0", "r1", "r2"]


def test_without_a_sink_each_hook_that_did_not_end_is_in_the_log(start: Start) -> None:
    process = start(CUT, serve={"drain": "300ms"})
    process.call(b'{"n": 0}', content_type="application/json", x_request_id="r7").read()
    assert process.stop() == 3
    (line,) = [line for line in process.lines if line["level"] == "error"]
    assert line["message"] == "after_response: the function stopped before it was done"
    assert line["request_id"] == "r7"


def test_a_sink_that_hangs_does_not_hold_up_the_end(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        process = start(CUT, {"MLFUNC_DEAD_LETTER": url}, serve={"drain": "1s"})
        process.call(b'{"n": 0}', content_type="application/json", x_request_id="r7").read()
        asked = time.monotonic()
        assert process.stop() == 3
        assert time.monotonic() - asked < 10
    lost = process.lines[-2]
    assert lost["message"].startswith("after_response is lost, the dead letters did not take it")
    assert (lost["request_id"], len(lost["payload"])) == ("r7", 36)
    assert (process.lines[-1]["hooks"], process.lines[-1]["dead_lettered"]) == (1, 0)


ROOM = """
    tries = []
    class P:
        def predict(self, n: int) -> int: return n
        def after_response(self, result):
            tries.append(result)
            if len(tries) == 1: raise ValueError("not yet")
"""


def test_a_request_that_waits_for_a_hooks_next_try_does_not_wait_for_the_deadline(
    metered: Start,
) -> None:
    process = metered(
        ROOM, serve={"drain": "40s", "hooks": {"backlog": 1, "retries": 1, "backoff": "60s"}}
    )
    assert process.json(b'{"n": 1}') == (200, 1)
    replies: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: replies.append(process.json(b'{"n": 2}')))
    asking.start()
    eventually(lambda: "\nmlfunc_in_flight 1.0\n" in metrics(process))
    asked = time.monotonic()
    assert process.stop() == 0
    asking.join()
    assert time.monotonic() - asked < 20
    assert replies == [(200, 2)]
    assert process.lines[-1]["hooks"] == 0


@pytest.mark.parametrize("others", [0, 1])
def test_a_connection_that_only_the_kernel_has_accepted_is_answered(
    start: Start, others: int
) -> None:
    process = start(CUT.replace("time.sleep(60)", "pass"))
    kept = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(others)]
    time.sleep(0.1)
    process.child.send_signal(signal.SIGSTOP)
    process.child.send_signal(signal.SIGTERM)
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as late:
        late.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
            b'{"n": 0}'
        )
        process.child.send_signal(signal.SIGCONT)
        received = b"".join(iter(lambda: late.recv(65536), b""))
    assert process.wait() == 0
    assert received.startswith(b"HTTP/1.1 200 OK"), received
    for connection in kept:
        connection.close()


def test_metrics_tell_of_the_backlog_while_it_drains(start: Start, unused_port: int) -> None:
    process = start(CUT, {"MLFUNC_METRICS_PORT": str(unused_port)}, serve={"drain": "30s"})
    process.json(b'{"n": 0}')
    process.child.send_signal(signal.SIGTERM)
    process.until("draining")
    reply = process.call(method="GET", path="/metrics", port=unused_port)
    assert b"\nmlfunc_hooks_backlog 1.0\n" in reply.read()
    assert process.stop() == 3


HOLDS_UP_EVERYTHING = """
    class P:
        def predict(self, n: int) -> int: return n
        def after_response(self, result):
            print("computing", flush=True)
            while True: pass
"""


@pytest.mark.parametrize("signals", [1, 2])
def test_time_or_a_second_signal_ends_a_function_whose_hook_holds_up_everything(
    start: Start, signals: int
) -> None:
    process = start(HOLDS_UP_EVERYTHING, serve={"drain": "1s" if signals == 1 else "1h"})
    process.call(b'{"n": 0}', content_type="application/json", x_request_id="r7").read()
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "computing\n"
    asked = time.monotonic()
    for _ in range(signals):
        process.child.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # two signals at once are one
    assert process.wait() == 3
    assert time.monotonic() - asked < 30
    last = process.lines[-1]
    assert (last["phase"], last["hooks"], last["request_ids"]) == ("stopped", 1, ["r7"])
