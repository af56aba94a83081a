"""The batching loop alone: an accelerator that sleeps 8 ms + 4.7 ms an item, random arrivals."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from lib import load, report, servers, stats
from lib.load import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lib.report import Claim
    from lib.servers import Server

RATES = (60, 100, 140)
MAX_BATCH = 16
OURS, LITSERVE, SLOW, DEFAULT = "mlfunc", "LitServe, 5 ms", "LitServe, 50 ms", "LitServe, default"
LOOP, SINGLE = "bare loop, batches", "bare loop, one by one"
PEERS = (LITSERVE, SLOW, DEFAULT)
# Without batches it can do 79/s: past that only its queue grows.
SINGLE_RATE = 60
FIGURES = ("p50 ms", "p99 ms", "CPU %", "answered/s")


def main() -> None:
    options = report.arguments(__doc__, seconds=5, rounds=2)
    told = {"rates": RATES, "max batch": MAX_BATCH, "client": "open loop, Poisson, same arrivals"}
    report.title("batching, accelerator that sleeps", options, **told)
    found: dict[tuple[str, int], list[Window]] = defaultdict(list)
    with servers.paused(*subjects()) as running:
        for number, order in enumerate(stats.interleaved(list(running), options.rounds)):
            for rate in RATES:
                arrivals = stats.poisson(rate, options.seconds, seed=1000 * number + rate)
                for name in order:
                    if name != SINGLE or rate <= SINGLE_RATE:
                        found[name, rate].append(window(running[name], arrivals))
    show({key: load.pooled(windows) for key, windows in found.items()})


def subjects() -> Sequence[AbstractContextManager[Server]]:
    return [
        servers.function("accelerator"),
        litserve(LITSERVE, "0.005"),
        litserve(SLOW, "0.05"),
        litserve(DEFAULT),
        loop(LOOP, MAX_BATCH),
        loop(SINGLE, 1),
    ]


def litserve(name: str, *wait: str) -> AbstractContextManager[Server]:
    command = [str(servers.PEERS / "litserve_accelerator.py"), "{port}", *wait]
    return servers.peer(name, command, {"number": 1}, path="/predict", shared="accelerator")


def loop(name: str, batch: int) -> AbstractContextManager[Server]:
    command = [str(servers.PEERS / "loop.py"), "{port}", str(batch)]
    return servers.peer(name, command, {"number": 1}, shared="accelerator")


def window(server: Server, arrivals: Sequence[float]) -> Window:
    wire = [load.request(json.dumps({"number": n}).encode(), server.path) for n in range(100)]
    with server.awake():
        load.open_loop(server.port, [0.02 * n for n in range(2 * MAX_BATCH)], wire)
        before = server.cpu
        done = load.open_loop(server.port, arrivals, wire)
        return Window(done, server.cpu - before)


def show(found: dict[tuple[str, int], Window]) -> None:
    rows = [
        [name, rate, *figures(each), each.load.failed]
        for (name, rate), each in sorted(found.items(), key=lambda item: item[0][1])
    ]
    report.table(["server", "offered/s", *FIGURES, "failed"], rows)
    report.claims(*(beats(found, rate) for rate in RATES))


def figures(window: Window) -> list[float]:
    done = window.load
    return [done.ms(0.5), done.ms(0.99), window.cpu / done.seconds * 100, done.per_second]


def beats(found: dict[tuple[str, int], Window], rate: int) -> Claim:
    return report.better(
        f"at {rate}/s better than the best of LitServe's settings",
        FIGURES,
        figures(found[OURS, rate]),
        [figures(found[peer, rate]) for peer in PEERS],
    )


if __name__ == "__main__":
    report.main(main)
