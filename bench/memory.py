"""A model of 500 MB and 16 requests at once: predictions share the model, they do not copy it."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from lib import load, report, servers
from lib.report import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.servers import Server

MANY = 16
LIMIT = 1.15
MIB = 2**20


def main() -> None:
    options = report.arguments(__doc__, seconds=3, rounds=1)
    report.title(
        "memory", options, model="500 MB, float32", slots=MANY, requests=f"1, {MANY} at once"
    )
    with servers.function("big", servers.ONE_THREAD) as server:
        one = largest(server, lambda: clients(server, 1, options.seconds))
        many = largest(server, lambda: clients(server, MANY, options.seconds))
        processes = server.size
    head = ["MiB, one request", f"MiB, {MANY} at once", "times", "processes"]
    report.table(head, [[one / MIB, many / MIB, f"{many / one:.3f}", processes]])
    text = f"RSS with {MANY} requests at once <= {LIMIT} of RSS with one"
    report.claims(Claim(text, f"{many / one:.3f}", many <= LIMIT * one))


def clients(server: Server, count: int, seconds: float) -> None:
    wire = load.request(json.dumps({"seed": 1}).encode())
    done = load.closed_loop(server.port, count, lambda _: wire, seconds)
    if done.failed:
        raise RuntimeError(f"{done.failed} of {len(done.samples)} predictions failed")


def largest(server: Server, work: Callable[[], None]) -> int:
    """The largest resident size while this work is done."""
    over, seen = threading.Event(), [server.rss]

    def watch() -> None:
        while not over.is_set():
            seen.append(server.rss)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    return max(seen)


if __name__ == "__main__":
    report.main(main)
