"""Many requests at once: how fast a function answers, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mlfunc import replies
from mlfunc.client import EVENT_STREAM
from mlfunc.errors import ClusterFailed, FunctionFailed, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlfunc.client import Connection, Request, Stream


@dataclass(frozen=True)
class Sample:
    """One request: how it ended, when, and if it failed, what there is to know of it."""

    outcome: str
    ok: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Summary:
    """What many requests show. Times are of the ones that succeeded; None: none did."""

    requests: int
    concurrency: int
    seconds: float
    per_second: float
    errors: Mapping[str, int]
    first_error: str | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    interrupted: bool = False


def run(
    connect: Callable[[], Connection],
    request: Callable[[int], Request],
    *,
    number: int,
    concurrency: int,
    report: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Send `number` requests over `concurrency` connections; `request` makes each of them.

    `report` gets how many are answered. Ctrl-C ends it early: the summary is of those.
    """
    tickets = iter(range(number))
    told: SimpleQueue[Sample | Exception] = SimpleQueue()
    stop = threading.Event()
    began = time.monotonic()
    for _ in range(min(concurrency, number)):
        work = (tickets, connect, request, told, stop)
        # Ctrl-C waits for none of them: a reply may take as long as --timeout.
        threading.Thread(target=_client, args=work, name="load", daemon=True).start()
    samples: list[Sample] = []
    try:
        for count in range(1, number + 1):
            samples.append(_sample_or_raise(told.get()))
            report(count)
    except KeyboardInterrupt:
        summary = summarize(samples, concurrency, time.monotonic() - began)
        return replace(summary, interrupted=True)
    finally:
        stop.set()
    return summarize(samples, concurrency, time.monotonic() - began)


def summarize(samples: Sequence[Sample], concurrency: int, seconds: float) -> Summary:
    """The figures of a run."""
    times = sorted(sample.seconds * 1000 for sample in samples if sample.ok)
    failed = [sample for sample in samples if not sample.ok]
    return Summary(
        requests=len(samples),
        concurrency=concurrency,
        seconds=round(seconds, 6),
        per_second=round(len(times) / seconds, 3) if seconds else 0.0,
        errors=dict(Counter(sample.outcome for sample in failed)),
        first_error=failed[0].detail if failed else None,
        p50_ms=percentile(times, 50),
        p95_ms=percentile(times, 95),
        p99_ms=percentile(times, 99),
        max_ms=percentile(times, 100),
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The value that `percent` of them do not exceed (nearest rank)."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return round(ordered[max(rank, 1) - 1], 3)


def _client(
    tickets: Iterator[int],
    connect: Callable[[], Connection],
    request: Callable[[int], Request],
    told: SimpleQueue[Sample | Exception],
    stop: threading.Event,
) -> None:
    try:
        with connect() as connection:
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
            outcome, detail = _outcome(stream)
    except (FunctionFailed, NotFound, ClusterFailed) as error:
        outcome, detail = type(error.__cause__ or error).__name__, error.message
    return Sample(outcome, not detail, time.monotonic() - began, detail)


def _outcome(stream: Stream) -> tuple[str, str]:
    """How a reply ended, once it has, and of a failure what it says.

    A stream begins with 200 and may still end with an error.
    """
    status = str(stream.reply.status)
    if not stream.reply.ok:
        return status, replies.failure(stream.reply, b"".join(stream.chunks())).message
    if stream.reply.media_type == EVENT_STREAM:
        problems = [event.data for event in stream.events() if event.event == "error"]
        if problems:
            told = replies.StreamFailed(problems[0]).message
            return f"{status}, then an error in the stream", told
    for _ in stream.chunks():
        pass
    return status, ""
