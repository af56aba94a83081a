"""Many requests at once: how fast a function answers, and what goes wrong."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.client import Connection
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlfunc.client import Request


@dataclass(frozen=True)
class Sample:
    """One request: how it ended, and when."""

    outcome: str
    ok: bool
    seconds: float


@dataclass(frozen=True)
class Summary:
    """What many requests show. Times are in milliseconds, of the ones that succeeded."""

    requests: int
    concurrency: int
    seconds: float
    per_second: float
    errors: Mapping[str, int]
    p50: float
    p95: float
    p99: float
    max: float


def run(
    url: str,
    request: Callable[[int], Request],
    *,
    number: int,
    concurrency: int,
    timeout: float | None,
) -> Summary:
    """Send `number` requests over `concurrency` connections; `request` makes each of them."""
    tickets = iter(range(number))
    stop = threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(concurrency) as pool:
        work = (tickets, url, request, timeout, stop)
        clients = [pool.submit(_client, *work) for _ in range(concurrency)]
        try:
            samples = list(itertools.chain.from_iterable(client.result() for client in clients))
        finally:
            # Ctrl-C: what is under way is waited for, nothing more is begun.
            stop.set()
    return summarize(samples, concurrency, time.monotonic() - began)


def summarize(samples: Sequence[Sample], concurrency: int, seconds: float) -> Summary:
    """The figures of a run."""
    times = sorted(sample.seconds * 1000 for sample in samples if sample.ok)
    return Summary(
        requests=len(samples),
        concurrency=concurrency,
        seconds=seconds,
        per_second=len(times) / seconds if seconds else 0.0,
        errors=dict(Counter(sample.outcome for sample in samples if not sample.ok)),
        p50=percentile(times, 50),
        p95=percentile(times, 95),
        p99=percentile(times, 99),
        max=times[-1] if times else 0.0,
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The value that `percent` of them do not exceed (nearest rank)."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


def _client(
    tickets: Iterator[int],
    url: str,
    request: Callable[[int], Request],
    timeout: float | None,
    stop: threading.Event,
) -> list[Sample]:
    # An iterator over a range hands each number to one thread only: `next` on it is one C call.
    with Connection(url, timeout) as connection:
        return [_sample(connection, request(i)) for i in tickets if not stop.is_set()]


def _sample(connection: Connection, request: Request) -> Sample:
    began = time.monotonic()
    try:
        reply = connection.send(request)
    except MlfuncError as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else error.message
        return Sample(cause, ok=False, seconds=time.monotonic() - began)
    return Sample(str(reply.status), reply.ok, reply.seconds)
