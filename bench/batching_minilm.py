"""MiniLM and texts of mixed lengths: padding short texts to the longest can cost more than batching
saves.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import TYPE_CHECKING

from lib import ask, bare, load, report, servers, stats
from lib.load import Window
from lib.report import Claim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lib.bare import Script
    from lib.servers import Server

TEXTS = 160
OURS, SHORT, LONG, BARE = "mlfunc", "LitServe, 5 ms", "LitServe, 50 ms", "bare loop, batch 1"
PEERS = (SHORT, LONG)
DRAIN = "all at once"
# Of what the bare loop does in this very run: the machine's speed decides what is much.
SHARES = (0.5, 0.75, 0.95)
# Each is one token to the model; two more stand around a text.
WORDS = ("the", "dog", "cat", "house", "car", "money", "rain", "cake", "day", "city", "river")

Found = dict[tuple[str, str], list[Window]]


def main() -> None:
    options = report.arguments(__doc__, seconds=6, rounds=2)
    told = {"texts": f"{TEXTS}, log-normal, 4 to 256 tokens", "max batch": 16, "torch threads": 1}
    report.title("batching, MiniLM", options, **told, client="open loop, Poisson, same arrivals")
    found: Found = defaultdict(list)
    with servers.paused(*subjects()) as running, bare.script("minilm.py") as script:
        for number, order in enumerate(stats.interleaved(list(running), options.rounds)):
            texts = mixed(seed=number)
            found[BARE, DRAIN].append(alone(script, texts))
            rate = found[BARE, DRAIN][-1].load.per_second
            for what, arrivals in schedules(rate, options.seconds, number).items():
                for name in order:
                    found[name, what].append(window(running[name], arrivals, texts))
    show({key: load.pooled(windows) for key, windows in found.items()})


def subjects() -> Sequence[AbstractContextManager[Server]]:
    peer = str(servers.PEERS / "litserve_minilm.py")
    return [
        servers.function("minilm", servers.ONE_THREAD),
        *(
            servers.peer(
                name, [peer, "{port}", wait], {"text": "dog"}, path="/predict", shared="minilm"
            )
            for name, wait in zip(PEERS, ("0.005", "0.05"), strict=True)
        ),
    ]


def mixed(seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=n - 2)) for n in stats.lengths(TEXTS, seed)]


def schedules(rate: float, seconds: float, seed: int) -> dict[str, list[float]]:
    shares = {
        f"{share:.0%} of the bare loop": stats.poisson(share * rate, seconds, seed)
        for share in SHARES
    }
    return {DRAIN: [0.0] * TEXTS, **shares}


def alone(script: Script, texts: list[str]) -> Window:
    cpu, wall = script.ask(texts)
    each = [load.Sample(n, 0, float("inf"), ask.OK) for n in range(len(texts))]
    return Window(load.Load(each, wall), cpu)


def window(server: Server, arrivals: Sequence[float], texts: list[str]) -> Window:
    wire = [load.request(json.dumps({"text": text}).encode(), server.path) for text in texts]
    with server.awake():
        load.open_loop(server.port, [0.02 * n for n in range(20)], wire)
        before = server.cpu
        done = load.open_loop(server.port, arrivals, wire)
        return Window(done, server.cpu - before)


def show(found: dict[tuple[str, str], Window]) -> None:
    order = {what: n for n, what in enumerate({what: None for _, what in found})}
    rows = [
        [what, name, *figures(each), each.load.failed]
        for (name, what), each in sorted(found.items(), key=lambda item: order[item[0][1]])
    ]
    head = ["arrivals", "server", "p50 ms", "p99 ms", "CPU ms a text", "texts/s", "failed"]
    report.table(head, rows)
    report.claims(*(beats(found, what) for what in order), saves(found))


def figures(window: Window) -> list[float]:
    done = window.load
    each = window.cpu / max(1, len(done.good)) * 1000
    return [done.ms(0.5), done.ms(0.99), each, done.per_second]


def beats(found: dict[tuple[str, str], Window], what: str) -> Claim:
    return report.better(
        f"{what}: better than the best of LitServe's settings",
        ("p50", "p99", "CPU", "throughput"),
        figures(found[OURS, what]),
        [figures(found[peer, what]) for peer in PEERS],
    )


def saves(found: dict[tuple[str, str], Window]) -> Claim:
    """Batching has to pay: padding may cost more than it saves."""
    times = figures(found[OURS, DRAIN])[2] / figures(found[BARE, DRAIN])[2]
    return Claim(f"{DRAIN}: less CPU a text than without batches", f"{times:.2f} times", times < 1)


if __name__ == "__main__":
    report.main(main)
