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

CONNECTIONS = 16
BODY = '{"numbers": [1, 2, 3, 4, 5, 6, 7, 8]}'
EXAMPLE = {"numbers": [1, 2]}
GATE, UVLOOP, DIRECT, ECHO = "gateway", "gateway, uvloop", "asked directly", "asyncio, echo"
PROMISED = 150


def main() -> None:
    options = report.arguments(__doc__, seconds=3, rounds=5)
    told = {"connections": CONNECTIONS, "body": BODY, "client": "wrk -t1, on a core of its own"}
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
    """CPU microseconds of the server for each request."""
    if name == DIRECT:
        return {name: cost(running[name], seconds)}
    with running[name].awake() as server:
        return {name: cost(server, seconds)}


def cost(server: Server, seconds: float) -> float:
    wrk.post(server.port, server.path, BODY, connections=CONNECTIONS, seconds=1)
    before = server.cpu
    done = wrk.post(server.port, server.path, BODY, connections=CONNECTIONS, seconds=seconds)
    if done.errors or not done.requests:
        raise RuntimeError(f"{server.name}: {done.errors} of {done.requests} requests failed")
    return (server.cpu - before) / done.requests * 1e6


def show(rounds: list[stats.Round]) -> None:
    found = stats.medians(rounds)
    rows = []
    for name, each in found.items():
        best = min(one.values[name] for one in rounds)
        rows.append([name, each, best, stats.ratio(rounds, name, ECHO)])
    report.table(["server", "CPU us a request", "best round", "times asyncio's echo"], rows)
    report.claims(
        Claim(f"<= {PROMISED} us CPU a request", f"{found[GATE]:.0f} us", found[GATE] <= PROMISED)
    )


if __name__ == "__main__":
    report.main(main)
