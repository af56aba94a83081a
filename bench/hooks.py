"""200 ms of IO before a prediction of 50 ms and 200 ms after the reply, with 64 clients; then the
end of the process in the middle of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lib import ask, load, report, servers
from lib.connection import CUT
from lib.load import BUSY, REFUSED
from lib.report import Claim

if TYPE_CHECKING:
    from argparse import Namespace

    from lib.load import Load
    from lib.servers import Server

CLIENTS = 64
BEFORE, PREDICT, AFTER = 0.2, 0.05, 0.2
BUSY_SECONDS = "mlfunc_slot_busy_seconds_total"
# What is not the hooks' and the predictor's sleep in a lone request; a noisy machine is no reason.
MARGIN = 0.05


def main() -> None:
    options = report.arguments(__doc__, seconds=8, rounds=3)
    told = {
        "clients": f"{CLIENTS}, closed loop",
        "slots": 1,
        "before, predict, after": "200, 50, 200 ms",
    }
    report.title("hooks and shutdown", options, **told)
    steady(options)
    ends = [stopped(options, number) for number in range(options.rounds)]
    show_ends(ends)


def steady(options: Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "hooks")
        with servers.function("stages", {"BENCH_HOOKS": str(log)}) as server:
            lone = load.closed_loop(server.port, 1, body, 5 * (BEFORE + PREDICT))
            watch = Busy(server, settle=1.0, seconds=options.seconds)
            done = load.closed_loop(server.port, CLIENTS, body, options.seconds + 2)
            busy = watch.share()
        ran = len(hooks_of(log))
    answered = len(done.good) + len(lone.good)
    alone = statistics.median(sample.seconds for sample in lone.good)
    rows = [[done.per_second, busy * 100, alone * 1000, done.ms(0.5), done.ms(0.99), answered, ran]]
    head = ["answers/s", "slot busy %", "alone ms", "p50 ms", "p99 ms", "answers", "hooks run"]
    report.table(head, rows)
    report.claims(
        Claim("slot busy >= 95 %", f"{busy * 100:.1f} %", busy >= 0.95),
        Claim(
            "the reply does not wait for after_response: <= 300 ms alone",
            f"{alone * 1000:.0f} ms",
            alone <= BEFORE + PREDICT + MARGIN,
        ),
        Claim("every hook runs", f"{ran} of {answered}", ran == answered),
    )


class Busy(threading.Thread):
    """Reads the slot's busy seconds at the start and the end of a window, while a load runs."""

    def __init__(self, server: Server, settle: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._server, self._settle, self._seconds = server, settle, seconds
        self._share = 0.0
        self.start()

    def run(self) -> None:
        time.sleep(self._settle)
        before, began = self._server.metric(BUSY_SECONDS), time.perf_counter()
        time.sleep(self._seconds)
        used, wall = self._server.metric(BUSY_SECONDS) - before, time.perf_counter() - began
        self._share = used / wall

    def share(self) -> float:
        """Slot-seconds a second."""
        self.join()
        return self._share


def body(number: int) -> bytes:
    return load.request(json.dumps({"number": number}).encode())


def hooks_of(log: Path) -> list[int]:
    """The warm-up's hook, if there is one, has a number below zero."""
    return [n for n in map(int, log.read_text().split()) if n >= 0] if log.exists() else []


class End:
    """What came of the requests and hooks of a process that got SIGTERM under load."""

    def __init__(self, done: Load, ran: list[int], code: int, seconds: float) -> None:
        count = Counter(sample.status for sample in done.samples)
        self.after = seconds
        self.sent, self.code = len(done.samples), code
        self.answered = count[ask.OK]
        self.refused = count[REFUSED] + count[BUSY]
        self.cut = count[CUT]
        self.failed = self.sent - self.answered - self.refused
        good = {sample.number for sample in done.good}
        self.lost = len(good - set(ran))
        self.twice = len(ran) - len(set(ran))


def stopped(options: Namespace, number: int) -> End:
    when = random.Random(number).uniform(1, max(1.1, options.seconds / 2))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "hooks")
        server = servers.start_function(servers.FUNCTIONS / "stages", {"BENCH_HOOKS": str(log)})
        try:
            server.phase("ready")
            done = load_until_end(server, when)
            code = server.process.wait(60)
        finally:
            server.end()
        return End(done, hooks_of(log), code, when)


def load_until_end(server: Server, when: float) -> Load:
    terminate = threading.Timer(when, os.kill, (server.process.pid, signal.SIGTERM))
    terminate.start()
    # The clients stop by themselves: each when its connection is refused.
    return load.closed_loop(server.port, CLIENTS, body, when + 30)


def show_ends(ends: list[End]) -> None:
    head = [
        "SIGTERM after s",
        "sent",
        "answered",
        "refused",
        "cut",
        "failed",
        "hooks lost",
        "twice",
        "exit code",
    ]
    rows = [
        [e.after, e.sent, e.answered, e.refused, e.cut, e.failed, e.lost, e.twice, e.code]
        for e in ends
    ]
    report.table(head, rows)
    failed, lost = sum(end.failed for end in ends), sum(end.lost + end.twice for end in ends)
    report.claims(
        Claim("SIGTERM under load: no failed request", str(failed), failed == 0),
        Claim("SIGTERM under load: no hook lost or run twice", str(lost), lost == 0),
    )


if __name__ == "__main__":
    report.main(main)
