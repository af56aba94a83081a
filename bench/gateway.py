"""What a small request costs the gateway of the local platform: it is sent there, and to the
instance behind it; beside both, the least that a server on asyncio can be.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lib import report, servers, stats, wrk
from lib.report import Claim

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from lib.servers import Server

CONNECTIONS = (16, 1)
BODY = '{"numbers": [1, 2, 3, 4, 5, 6, 7, 8]}'
EXAMPLE = {"numbers": [1, 2]}
GATE, UVLOOP, DIRECT, ECHO = "gateway", "gateway, uvloop", "asked directly", "asyncio, echo"
PROMISED = 150


def main() -> None:
    options = report.arguments(__doc__, seconds=3, rounds=5)
    told = {
        "connections": " and ".join(map(str, CONNECTIONS)),
        "body": BODY,
        "client": "wrk -t1, on a core of its own",
    }
    report.title("gateway", options, **told)
    with subjects() as running:
        orders = stats.interleaved(list(running), options.rounds)
        rounds = [one_round(running, order, options) for order in orders]
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    show(kept)


@contextmanager
def subjects() -> Iterator[dict[str, Server]]:
    """The instance is awake all the time: it answers for the gateway, too."""
    peers = [servers.peer(ECHO, [str(servers.PEERS / "echo.py"), "{port}"], EXAMPLE)]
    with servers.function("sum") as instance:
        gate = [str(servers.PEERS / "gate.py"), "{port}", str(instance.port)]
        peers.append(servers.peer(GATE, gate, EXAMPLE, path="/sum/"))
        if importlib.util.find_spec("uvloop"):
            peers.append(servers.peer(UVLOOP, [*gate, "uvloop"], EXAMPLE, path="/sum/"))
        with servers.paused(*peers) as running:
            yield {DIRECT: instance, **running}


def one_round(running: dict[str, Server], order: list[str], options: Namespace) -> stats.Round:
    values: dict[str, float] = {}
    spins = [stats.spin_on(servers.SERVER_CORES)]
    for name in order:
        values |= costs(name, running, options.seconds)
        spins.append(stats.spin_on(servers.SERVER_CORES))
    return stats.Round(values, sum(spins) / len(spins))


def costs(name: str, running: dict[str, Server], seconds: float) -> dict[str, float]:
    """CPU microseconds of the server for each request, by how many come at once."""
    if name == DIRECT:
        return {called(name, n): cost(running[name], seconds, n) for n in CONNECTIONS}
    with running[name].awake() as server:
        return {called(name, n): cost(server, seconds, n) for n in CONNECTIONS}


def called(name: str, connections: int) -> str:
    return f"{name}, {connections} at once"


def cost(server: Server, seconds: float, connections: int) -> float:
    wrk.post(server.port, server.path, BODY, connections=connections, seconds=1)
    before = server.cpu
    done = wrk.post(server.port, server.path, BODY, connections=connections, seconds=seconds)
    if done.errors or not done.requests:
        raise RuntimeError(f"{server.name}: {done.errors} of {done.requests} requests failed")
    return (server.cpu - before) / done.requests * 1e6


def show(rounds: list[stats.Round]) -> None:
    found = stats.medians(rounds)
    rows = []
    for name, each in found.items():
        best = min(one.values[name] for one in rounds)
        least = called(ECHO, int(name.rpartition(", ")[2].split()[0]))
        rows.append([name, each, best, stats.ratio(rounds, name, least)])
    report.table(["server", "CPU us a request", "best round", "times asyncio's echo"], rows)
    report.claims(*(claim(found, n) for n in CONNECTIONS))


def claim(found: dict[str, float], connections: int) -> Claim:
    us = found[called(GATE, connections)]
    text = f"{connections} at once: <= {PROMISED} us CPU a request"
    return Claim(text, f"{us:.0f} us", us <= PROMISED)


if __name__ == "__main__":
    report.main(main)
