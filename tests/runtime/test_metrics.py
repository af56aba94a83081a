"""The metrics text, read by Prometheus's own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.metrics import Histogram, Metrics
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Values by name and label."""
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_prometheus_reads_what_a_function_counted(serve: Serve) -> None:
    client = serve("""
        class P:
            example = {"n": 1}
            def predict(self, n: int) -> int: return n
            def after_response(self, result):
                if result == 2: raise ValueError
    """)
    for n in (1, 2, "x"):
        client.post({"n": n})
    client.drain()
    found = samples(client.function.metrics)
    assert found["mlfunc_requests_total", "200"] == 2
    assert found["mlfunc_requests_total", "400"] == 1
    assert found["mlfunc_request_seconds_count", ""] == 3
    assert found["mlfunc_stage_seconds_count", "predict"] == 3
    assert found["mlfunc_batch_size_count", ""] == 3  # the warm-up is a batch, too
    assert found["mlfunc_hooks_total", "ok"] == found["mlfunc_hooks_total", "failed"] == 1
    assert found["mlfunc_hooks_backlog", ""] == found["mlfunc_in_flight", ""] == 0
    assert found["mlfunc_ready", ""] == 1
    assert found["mlfunc_startup_seconds", "total"] > 0
    assert found["process_resident_memory_bytes", ""] > 10**7


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_each_value_in_all_buckets_that_hold_it(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0))
    for value in values:
        histogram.observe(value)
    lines = dict(line.rsplit(" ", 1) for line in histogram.lines("h"))
    assert int(lines['h_bucket{le="1.0"}']) == sum(value <= 1 for value in values)
    assert int(lines['h_bucket{le="10.0"}']) == sum(value <= 10 for value in values)
    assert int(lines['h_bucket{le="+Inf"}']) == int(lines["h_count"]) == len(values)
