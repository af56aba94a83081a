"""Health probes while a prediction runs for seconds: in C with the GIL held, or released."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lib import load, report, servers
from lib.prober import probing
from lib.report import Claim
from lib.stats import percentile

if TYPE_CHECKING:
    from argparse import Namespace

INTERVAL = 0.01
MODES = ("thread", "process")
HOLDS = {"released": False, "held": True}
# What is promised: nobody can help a GIL that is held by a thread of the same process.
PROMISED = (("thread", "released"), ("process", "released"), ("process", "held"))
LIMIT_MS = 50


def main() -> None:
    options = report.arguments(__doc__, seconds=3, rounds=2)
    told = {"predictions": f"{options.rounds} of {options.seconds:g} s, one after the other"}
    report.title(
        "probes", options, probe=f"GET /health/liveness every {INTERVAL * 1000:g} ms", **told
    )
    found = {(mode, gil): measure(mode, gil, options) for mode in MODES for gil in HOLDS}
    rows = [
        [mode, gil, len(ms), percentile(ms, 0.5), percentile(ms, 0.99), max(ms), processes]
        for (mode, gil), (ms, processes) in found.items()
    ]
    head = ["isolation", "GIL", "probes", "p50 ms", "p99 ms", "max ms", "processes"]
    report.table(head, rows)
    report.claims(*(claim(mode, gil, found[mode, gil][0]) for mode, gil in PROMISED))


def measure(mode: str, gil: str, options: Namespace) -> tuple[list[float], int]:
    """Milliseconds of each probe, and how many processes the server is."""
    question = json.dumps({"seconds": options.seconds, "hold": HOLDS[gil]}).encode()
    wire = [load.request(question)]
    with servers.function("held", {"MLFUNC_SERVE_ISOLATION": mode}) as server:
        with probing(server.port, INTERVAL) as probes:
            done = load.open_loop(server.port, [0.0] * options.rounds, wire)
        if done.failed:
            raise RuntimeError(f"{mode}, GIL {gil}: {done.failed} predictions failed")
        return [seconds * 1000 for seconds in probes.seconds()], server.size


def claim(mode: str, gil: str, ms: list[float]) -> Claim:
    p99 = percentile(ms, 0.99)
    text = f"isolation {mode}, GIL {gil}: p99 < {LIMIT_MS} ms"
    return Claim(text, f"{p99:.1f} ms", p99 < LIMIT_MS)


if __name__ == "__main__":
    report.main(main)
