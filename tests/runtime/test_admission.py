"""Deadlines, and refusals on arrival."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import admission
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]

SLOW = """
    import time
    ran = []

    class P:
        def predict(self, n: int) -> int:
            ran.append(n)
            time.sleep(0.1)
            return n
"""


def limited(seconds: object) -> dict[str, str]:
    return {"X-Request-Timeout": str(seconds)}


@pytest.mark.parametrize(
    ("given", "allowed"), [("2", 2), ("0.5", 0.5), ("500ms", 0.5), ("1m", 5), ("3s", 3), (None, 5)]
)
def test_a_caller_may_wait_shorter_than_serve_timeout(given: str | None, allowed: float) -> None:
    request = Request(headers={} if given is None else {"x-request-timeout": given})
    assert admission.deadline(request, 5) - request.arrived == pytest.approx(allowed)


@given(st.text(max_size=12))
def test_any_header_is_a_duration_or_a_400_that_names_it(text: str) -> None:
    request = Request(headers={"x-request-timeout": text})
    found: Any = None
    try:
        found = admission.deadline(request, 5) - request.arrived
    except Problem as problem:
        found = (problem.status, problem.field)
    assert found == (400, "X-Request-Timeout") or 0 < found < 5.001


@pytest.mark.parametrize("given", ["0", "-1", "soon", "1 s", "nan", "inf", ""])
def test_what_is_no_time_is_refused(serve: Serve, given: str) -> None:
    reply = serve(SLOW).post({"n": 1}, headers=limited(given))
    assert (reply.status, reply.json()["field"]) == (400, "X-Request-Timeout")


@pytest.mark.parametrize("place", ["before_predict", "after_predict", "predict"])
def test_one_deadline_covers_hooks_queue_and_prediction(serve: Serve, place: str) -> None:
    argument = {"before_predict": "request", "after_predict": "result", "predict": "n"}[place]
    module = "threading" if place == "predict" else "gevent.event"
    client = serve(f"""
        import {module}

        go = {module}.Event()

        class P:
            def predict(self, n: int) -> int: return n
            def {place}(self, {argument}): go.wait(60)
    """)
    started = time.perf_counter()
    reply = client.post({"n": 1}, headers=limited("50ms"))
    assert time.perf_counter() - started < 30
    sys.modules["predictor"].go.set()
    assert reply.status == 504
    assert "0.05 s" in reply.json()["detail"]


def learned(serve: Serve) -> Client:
    client = serve(SLOW)
    for n in range(6):
        assert client.post({"n": -n}).status == 200
    sys.modules["predictor"].ran.clear()
    return client


def test_who_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back(
    serve: Serve,
) -> None:
    client = learned(serve)
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(15)]
    gevent.sleep(0.02)
    reply = client.post({"n": 99}, headers=limited("200ms"))
    assert not all(job.ready() for job in jobs)  # nobody waited for them
    assert reply.status == 503
    assert 1 <= int(reply.headers["Retry-After"]) <= 3
    assert client.post({"n": 98}, headers=limited(30)).status == 200
    gevent.joinall(jobs)
    assert {job.value.status for job in jobs} == {200}
    assert 99 not in sys.modules["predictor"].ran
    assert client.function.metrics.refused == {"full": 0, "wait": 1}


def test_requests_in_before_predict_count_as_waiting(serve: Serve) -> None:
    client = serve("""
        import gevent, time

        class P:
            def before_predict(self, n: int): gevent.sleep(0.3 if n > 0 else 0)
            def predict(self, n: int) -> int:
                time.sleep(0.05)
                return n
    """)
    for n in range(6):
        client.post({"n": -n})
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(1, 9)]
    gevent.sleep(0.02)
    assert client.post({"n": 99}, headers=limited("200ms")).status == 503
    gevent.joinall(jobs)
    assert {job.value.status for job in jobs} == {200}


@pytest.mark.parametrize("known", [True, False], ids=["learned", "new"])
def test_nobody_is_refused_while_the_slot_is_idle_or_nothing_is_known(
    serve: Serve, known: bool
) -> None:
    client = learned(serve) if known else serve(SLOW)
    if not known:
        gevent.spawn(client.post, {"n": 1})
        gevent.sleep(0.02)
    assert client.post({"n": 9}, headers=limited("40ms")).status == 504
    assert client.function.metrics.refused == {"full": 0, "wait": 0}


def test_whose_turn_comes_too_late_is_answered_and_never_runs(serve: Serve) -> None:
    client = learned(serve)
    blocker = gevent.spawn(client.post, {"n": 0})
    gevent.sleep(0.02)
    # The deadline is met by the queue, and missed by what came between.
    tight = gevent.spawn(client.post, {"n": 1}, headers=limited("20s"))
    gevent.sleep(0.02)
    time_passes = client.function._pipeline.batcher._waiting  # type: ignore[union-attr]
    time_passes._items[0].deadline = time.perf_counter()
    last = gevent.spawn(client.post, {"n": 2})
    gevent.joinall([blocker, tight, last])
    assert (tight.value.status, last.value.status) == (504, 200)
    assert sys.modules["predictor"].ran == [0, 2]
    assert client.function.metrics.dropped == {"deadline": 1, "cancelled": 0, "stuck": 0}


def test_what_was_learned_wrongly_is_learned_anew(serve: Serve) -> None:
    """Everybody's time is too short for what was learned; still they are tried, one at a time."""
    client = serve("""
        import time
        pace = [0.5]

        class P:
            def predict(self, n: int) -> int:
                time.sleep(pace[0])
                return n
    """)
    for n in range(6):
        client.post({"n": n})
    sys.modules["predictor"].pace[0] = 0.002
    for n in range(30):
        client.post({"n": n}, headers=limited("400ms"))
    jobs = [gevent.spawn(client.post, {"n": n}, headers=limited("400ms")) for n in range(4)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200] * 4


def test_one_who_leaves_while_queued_never_runs_and_is_counted(serve: Serve) -> None:
    client = learned(serve)
    blocker = gevent.spawn(client.post, {"n": 0})
    gevent.sleep(0.02)
    leaver, last = (gevent.spawn(client.post, {"n": n}) for n in (1, 2))
    gevent.sleep(0.02)
    leaver.kill()
    gevent.joinall([blocker, last])
    assert sys.modules["predictor"].ran == [0, 2]
    assert client.function.metrics.dropped == {"deadline": 0, "cancelled": 1, "stuck": 0}


BATCHES = """
    import time

    class P:
        def predict(self, n: list[int]) -> list[int]:
            time.sleep(0.05)
            if -1 in n:
                raise ValueError
            return n
"""


def at_once(client: Client, numbers: list[int]) -> list[int]:
    jobs = [gevent.spawn(client.post, {"n": n}) for n in numbers]
    gevent.joinall(jobs)
    return [job.value.status for job in jobs]


@pytest.mark.parametrize("failing", [False, True])
def test_nobody_is_refused_for_what_full_batches_may_cost_before_one_ran(
    serve: Serve, *, failing: bool
) -> None:
    client = serve(BATCHES, serve={"batch": {"max_size": 8}, "timeout": "1500ms"})
    for n in range(6):
        client.post({"n": n})
    if failing:  # it runs one by one, and takes as long as nine
        assert sorted(at_once(client, [0, -1, 1, 2, 3, 4, 5, 6])) == [200] * 7 + [500]
    assert at_once(client, list(range(64))) == [200] * 64


def test_nobody_is_refused_for_what_a_larger_request_may_cost_than_any_that_ran(
    serve: Serve,
) -> None:
    """A model that truncates its input takes no longer for a text of a megabyte."""
    client = serve("""
        import time
        class P:
            def predict(self, text: str) -> int:
                time.sleep(0.01 * min(len(text), 30))
                return len(text)
    """)
    for length in range(1, 8):
        client.post({"text": "x" * length})
    texts = ["x" * 10**6, "x" * 10**6, "x", "x"]
    jobs = [gevent.spawn(client.post, {"text": text}) for text in texts]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200] * 4
