"""Counters and histograms of this process as Prometheus text (exposition format 0.0.4).

Plain attributes, added to on the hub only: `prometheus_client` takes a lock and a label lookup for
each observation, several times the cost, on the path of every request. It is the oracle in the
tests instead.
"""

from __future__ import annotations

import resource
import time
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.messages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlfunc_runtime.messages import Request

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Observations in buckets with upper bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = _SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, label: str = "") -> Iterator[str]:
        """The samples of this histogram; `label` is like `stage="queue"`."""
        count = 0
        comma = f"{label}," if label else ""
        for bound, in_bucket in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            count += in_bucket
            yield f'{name}_bucket{{{comma}le="{bound}"}} {count}'
        suffix = f"{{{label}}}" if label else ""
        yield f"{name}_sum{suffix} {self.total}"
        yield f"{name}_count{suffix} {count}"


class Metrics:
    """All that is counted. `gauges` are read when somebody asks; `others` make lines then."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.request_seconds = Histogram()
        self.stage_seconds = {stage: Histogram() for stage in STAGES}
        self.batch_size = Histogram(_SIZES)
        self.batch_seconds = Histogram()
        self.batch_units = self.batch_padded_units = 0.0
        self.refused: Counter[str] = Counter(full=0, wait=0)
        self.dropped: Counter[str] = Counter(deadline=0, cancelled=0, stuck=0)
        self.slot_seconds: Callable[[], float] = lambda: 0.0
        self.hooks = Counter({"ok": 0, "failed": 0, "undone": 0})
        self.hook_retries = 0
        self.dead_letters = Counter({"sent": 0, "failed": 0})
        self.redelivered = Counter({"joined": 0, "remembered": 0})
        self.stages: dict[str, Callable[[], tuple[int, int]]] = {}
        self.gauges: dict[str, Callable[[], float]] = {}
        self.others: list[Callable[[], Iterator[str]]] = []
        self.startup: Mapping[str, float] = {}
        self._started = time.time()

    def observe_request(self, status: int, request: Request) -> None:
        """A reply with `status` is out."""
        self.requests[status] += 1
        self.request_seconds.observe(time.perf_counter() - request.arrived)
        timings, stages = request.timings, self.stage_seconds
        stages["queue"].observe(timings.queue)
        stages["before"].observe(timings.before)
        stages["predict"].observe(timings.predict)
        stages["after"].observe(timings.after)

    def observe_batch(self, size: int, busy: float, units: float, padded: float) -> None:
        """A slot was busy for `busy` seconds with a batch of `size` that weighs `units`, and
        `padded` with each as large as the largest.
        """
        self.batch_size.observe(size)
        self.batch_seconds.observe(busy)
        self.batch_units += units
        self.batch_padded_units += padded

    def render(self) -> bytes:
        """The text a Prometheus server scrapes."""
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield from self._requests()
        yield from self._batches()
        yield from self._turned_away()
        yield from self._counters()
        yield from self._after_replies()
        yield from self._stages()
        yield from self._gauges()
        for lines in self.others:
            yield from lines()

    def _requests(self) -> Iterator[str]:
        codes = dict(sorted(self.requests.items()))
        yield from labelled(
            "mlfunc_requests_total", "counter", "Replies by status code.", "code", codes
        )
        text = "From the request's arrival to the end of its reply."
        yield from _head("mlfunc_request_seconds", "histogram", text)
        yield from self.request_seconds.lines("mlfunc_request_seconds")
        yield from _head("mlfunc_stage_seconds", "histogram", "Time of a request in each stage.")
        for stage, histogram in self.stage_seconds.items():
            yield from histogram.lines("mlfunc_stage_seconds", f'stage="{stage}"')

    def _batches(self) -> Iterator[str]:
        yield from _head("mlfunc_batch_size", "histogram", "Requests in one call of predict.")
        yield from self.batch_size.lines("mlfunc_batch_size")
        yield from _head("mlfunc_batch_seconds", "histogram", "Time that one batch held its slot.")
        yield from self.batch_seconds.lines("mlfunc_batch_seconds")

    def _turned_away(self) -> Iterator[str]:
        text = "Requests refused with 503 on arrival."
        yield from labelled("mlfunc_refused_total", "counter", text, "reason", self.refused)
        text = "Requests that left the queue unserved."
        yield from labelled("mlfunc_dropped_total", "counter", text, "reason", self.dropped)

    def _counters(self) -> Iterator[str]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        counters = {
            "mlfunc_slot_busy_seconds_total": (
                "Seconds that slots were held, added up, those of predictions that run included.",
                self.slot_seconds(),
            ),
            "mlfunc_batch_units_total": ("Sizes of requests, added up.", self.batch_units),
            "mlfunc_batch_padded_units_total": (
                "The same with each as large as the largest of its batch: with padding.",
                self.batch_padded_units,
            ),
            "mlfunc_hook_retries_total": (
                "Tries of after_response hooks after the first.",
                self.hook_retries,
            ),
            "process_cpu_seconds_total": (
                "User and system CPU time.",
                usage.ru_utime + usage.ru_stime,
            ),
        }
        for name, (text, value) in counters.items():
            yield from _head(name, "counter", text)
            yield f"{name} {value}"

    def _after_replies(self) -> Iterator[str]:
        by_outcome = {
            "mlfunc_hooks_total": ("after_response hooks by how they ended.", self.hooks),
            "mlfunc_dead_letters_total": ("Dead letters, by what the sink did.", self.dead_letters),
            "mlfunc_redelivered_total": ("Events that came again.", self.redelivered),
        }
        for name, (text, outcomes) in by_outcome.items():
            yield from labelled(name, "counter", text, "outcome", outcomes)

    def _stages(self) -> Iterator[str]:
        read = {stage: counts() for stage, counts in self.stages.items()}
        for index, state in enumerate(("running", "waiting")):
            counts = {stage: both[index] for stage, both in read.items()}
            text = f"Requests {state} in each stage."
            yield from labelled(f"mlfunc_stage_{state}", "gauge", text, "stage", counts)

    def _gauges(self) -> Iterator[str]:
        text = "The phases of this process's start."
        yield from labelled("mlfunc_startup_seconds", "gauge", text, "phase", self.startup)
        process: dict[str, Callable[[], float]] = {
            "process_resident_memory_bytes": _resident_bytes,
            "process_start_time_seconds": lambda: self._started,
        }
        for name, read in (self.gauges | process).items():
            yield from _head(name, "gauge", _GAUGES[name])
            yield f"{name} {float(read())}"


_GAUGES = {
    "mlfunc_ready": "1 when predictions are served.",
    "mlfunc_in_flight": "Requests without a complete reply.",
    "mlfunc_queue": "Requests that wait for a slot.",
    "mlfunc_predicted_wait_seconds": "Until a request that comes now would have its prediction.",
    "mlfunc_slots": "Predictions that may run at once.",
    "mlfunc_slots_stuck": "Slots whose call does not come back.",
    "mlfunc_hooks_backlog": "after_response hooks that wait or run.",
    "mlfunc_hooks_oldest_seconds": "Age of the oldest of them.",
    "process_resident_memory_bytes": "Memory in RAM.",
    "process_start_time_seconds": "Start of this process, Unix time.",
}


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    """What comes before the samples of a metric."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def labelled(
    name: str, kind: str, text: str, label: str, values: Mapping[Any, float]
) -> Iterator[str]:
    """A metric with one sample for each value of its label."""
    yield from _head(name, kind, text)
    for of, value in values.items():
        yield f'{name}{{{label}="{of}"}} {value}'


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a file of the kernel, read at each scrape
        return int(statm.read().split()[1]) * resource.getpagesize()
