"""Many requests at once: how fast a function answers, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mlfunc.client import EVENT_STREAM, Connection
from mlfunc.errors import FunctionFailed, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlfunc.client import Request, Stream


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
    told: SimpleQueue[Sample | Exception] = SimpleQueue()
    stop = threading.Event()
    began = time.monotonic()
    for _ in range(min(concurrency, number)):
        work = (tickets, url, request, timeout, told, stop)
        # Ctrl-C waits for none of them: a reply may take as long as --timeout.
        threading.Thread(target=_client, args=work, name="load", daemon=True).start()
    try:
        samples = [_sample_or_raise(told.get()) for _ in range(number)]
    finally:
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
    told: SimpleQueue[Sample | Exception],
    stop: threading.Event,
) -> None:
    try:
        with Connection(url, timeout) as connection:
            # An iterator over a range hands each number to one thread only: `next` is one C call.
            for i in tickets:
                if stop.is_set():
                    return
                told.put(_sample(connection, request(i)))
    except Exception as error:
        told.put(error)


def _sample_or_raise(told: Sample | Exception) -> Sample:
    if isinstance(told, Exception):
        raise told
    return told


def _sample(connection: Connection, request: Request) -> Sample:
    """One request; a mistake of the caller's is raised, because all of them would have it."""
    began = time.monotonic()
    try:
        with connection.open(request) as stream:
            outcome, ok = _outcome(stream)
    except (FunctionFailed, NotFound) as error:
        outcome, ok = type(error.__cause__ or error).__name__, False
    return Sample(outcome, ok, time.monotonic() - began)


def _outcome(stream: Stream) -> tuple[str, bool]:
    """How a reply ended, once it has. A stream begins with 200 and may still end with an error."""
    status, ok = str(stream.reply.status), stream.reply.ok
    if ok and stream.reply.media_type == EVENT_STREAM:
        names = [event.event for event in stream.events()]
        return (
            (f"{status}, then an error in the stream", False) if "error" in names else (status, ok)
        )
    for _ in stream.chunks():
        pass
    return status, ok
