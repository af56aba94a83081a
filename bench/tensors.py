"""A picture's worth of floats, in and out as JSON: how long nobody else is answered."""

from __future__ import annotations

import random
import statistics
import time

from lib import load, report, servers
from lib.prober import Probes, probing
from lib.report import Claim
from lib.stats import percentile

FLOATS = 150_528  # 224 x 224 x 3
INTERVAL = 0.002
LIMIT_MS = 10
PAUSE = 0.1
ARRAYS, LISTS, IDLE = "numpy array", "list[float]", "nothing"
FUNCTIONS = {ARRAYS: "arrays", LISTS: "lists"}


def main() -> None:
    options = report.arguments(__doc__, seconds=4, rounds=1)
    wire = picture()
    told = {
        "floats": FLOATS,
        "body": f"{len(wire) / 1e6:.1f} MB",
        "probe": f"every {INTERVAL * 1000:g} ms",
    }
    report.title("tensors", options, **told)
    stalls = {IDLE: idle(options.seconds)}
    for name in FUNCTIONS:
        stalls[name] = busy(name, wire, options.seconds)
    rows = [
        [name, len(ms), statistics.median(ms), percentile(ms, 0.9), max(ms)]
        for name, ms in stalls.items()
    ]
    head = ["the server does", "times", "stall median ms", "p90 ms", "max ms"]
    report.table(head, rows)
    middle = statistics.median(stalls[ARRAYS])
    text = f"a tensor in and out stops the hub for <= {LIMIT_MS} ms"
    report.claims(Claim(text, f"{middle:.1f} ms (median of the longest)", middle <= LIMIT_MS))


def picture() -> bytes:
    """Digits as of real pictures that were normalised: they are what takes time to read."""
    chance = random.Random(0)
    numbers = ",".join(f"{chance.gauss(0, 1):.7f}" for _ in range(FLOATS))
    return load.request(f'{{"pixels":[{numbers}]}}'.encode())


def idle(seconds: float) -> list[float]:
    """The same stretches of time with no tensor in them: what the machine itself does to probes."""
    with servers.function("lists") as server, probing(server.port, INTERVAL) as probes:
        time.sleep(0.5)
        spans = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            time.sleep(PAUSE)
            spans.append((began, time.perf_counter()))
    return longest(probes, spans)


def busy(name: str, wire: bytes, seconds: float) -> list[float]:
    """Milliseconds of the longest probe during each request."""
    with servers.function(FUNCTIONS[name]) as server:
        load.open_loop(server.port, [0.0] * 3, [wire])
        with probing(server.port, INTERVAL) as probes:
            time.sleep(0.5)
            spans = []
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                began = time.perf_counter()
                done = load.open_loop(server.port, [0.0], [wire])
                spans.append((began, time.perf_counter()))
                if done.failed:
                    raise RuntimeError(f"{name}: status {done.samples[0].status}")
                time.sleep(PAUSE)
    return longest(probes, spans)


def longest(probes: Probes, spans: list[tuple[float, float]]) -> list[float]:
    return [probes.longest(*span) * 1000 for span in spans]


if __name__ == "__main__":
    report.main(main)
