"""What a small request costs the server: a predictor that adds numbers, 16 connections."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lib import report, servers, stats, wrk
from lib.report import Claim

if TYPE_CHECKING:
    from argparse import Namespace
    from contextlib import AbstractContextManager

    from lib.servers import Server

CONNECTIONS = 16
BODY = '{"numbers": [1, 2, 3, 4, 5, 6, 7, 8]}'
EXAMPLE = {"numbers": [1, 2]}
OURS, FASTAPI, BARE = "mlfunc", "FastAPI on uvicorn", "uvicorn, bare ASGI"
DEFAULT = "FastAPI, as documented"


def main() -> None:
    options = report.arguments(__doc__, seconds=3, rounds=5)
    told = {"connections": CONNECTIONS, "body": BODY, "client": "wrk -t1, on a core of its own"}
    report.title("hotpath", options, **told)
    with servers.paused(*subjects()) as running:
        rounds = [one_round(running, order, options) for order in orders(running, options)]
        idle, sizes = idling(running, options)
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    show(kept, idle, sizes)


def subjects() -> list[AbstractContextManager[Server]]:
    uvicorn = ["-m", "uvicorn", "--app-dir", str(servers.PEERS), "--port", "{port}"]
    silent = [*uvicorn, "--log-level", "warning", "--no-access-log"]
    return [
        servers.function("sum"),
        servers.peer(FASTAPI, [*silent, "fastapi_sum:app"], EXAMPLE),
        servers.peer(BARE, [*silent, "uvicorn_bare:app"], EXAMPLE),
        servers.peer(DEFAULT, [*uvicorn, "fastapi_sum:app"], EXAMPLE, path="/thread"),
    ]


def orders(running: dict[str, Server], options: Namespace) -> list[list[str]]:
    return list(stats.interleaved(list(running), options.rounds))


def one_round(running: dict[str, Server], order: list[str], options: Namespace) -> stats.Round:
    values: dict[str, float] = {}
    spins = [stats.spin_on(servers.SERVER_CORES)]
    for name in order:
        with running[name].awake() as server:
            values[name] = cost(server, options.seconds)
        spins.append(stats.spin_on(servers.SERVER_CORES))
    return stats.Round(values, sum(spins) / len(spins))


def cost(server: Server, seconds: float) -> float:
    """CPU microseconds of the server for each request."""
    wrk.post(server.port, server.path, BODY, connections=CONNECTIONS, seconds=1)
    before = server.cpu
    done = wrk.post(server.port, server.path, BODY, connections=CONNECTIONS, seconds=seconds)
    if done.errors or not done.requests:
        raise RuntimeError(f"{server.name}: {done.errors} of {done.requests} requests failed")
    return (server.cpu - before) / done.requests * 1e6


def idling(
    running: dict[str, Server], options: Namespace
) -> tuple[dict[str, float], dict[str, int]]:
    """CPU in percent of a core while nothing comes, and how many processes each is."""
    seconds = min(10.0, 4 * options.seconds)
    with ExitStack() as stack:
        for server in running.values():
            stack.enter_context(server.awake())
        time.sleep(0.5)  # what they do when they wake up is not idling
        before = {name: server.cpu for name, server in running.items()}
        time.sleep(seconds)
        used = {name: server.cpu - before[name] for name, server in running.items()}
    idle = {name: cpu / seconds * 100 for name, cpu in used.items()}
    return idle, {name: server.size for name, server in running.items()}


def show(rounds: list[stats.Round], idle: dict[str, float], sizes: dict[str, int]) -> None:
    costs = stats.medians(rounds)
    head = ["server", "CPU us a request", "best round", "times ours", "idle CPU %", "processes"]
    rows = []
    for name in sizes:
        best = min(each.values[name] for each in rounds)
        times = stats.ratio(rounds, name, OURS)
        rows.append([name, costs[name], best, times, idle[name], sizes[name]])
    report.table(head, rows)
    times = stats.ratio(rounds, FASTAPI, OURS)
    report.claims(
        Claim("<= 40 us CPU a request", f"{costs[OURS]:.0f} us", costs[OURS] <= 40),
        Claim("FastAPI takes >= 3 times as much", f"{times:.2f} times", times >= 3),
        Claim("<= 1 % CPU when idle", f"{idle[OURS]:.2f} %", idle[OURS] <= 1),
        Claim("one process", str(sizes[OURS]), sizes[OURS] == 1),
    )


if __name__ == "__main__":
    report.main(main)
