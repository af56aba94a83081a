"""Stages are bounded one by one, and no stage holds up another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event
import pytest
from gevent import Timeout
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.stages import Stage
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]


@given(
    st.integers(1, 3), st.lists(st.tuples(st.sampled_from("ekx"), st.integers(0, 9)), max_size=60)
)
def test_places_are_given_in_order_and_none_is_lost(
    bound: int, steps: list[tuple[str, int]]
) -> None:
    """e: one more comes; x: one that is inside leaves; k: one is killed, inside or waiting."""
    stage = Stage(bound)
    leave: dict[int, Any] = {}
    entered: list[int] = []
    jobs: list[Any] = []

    def visit(number: int) -> None:
        with stage:
            entered.append(number)
            leave[number] = gevent.event.Event()
            leave[number].wait()

    for step, pick in steps:
        alive = [job for job in jobs if not job.dead]
        inside = [number for number in entered if not jobs[number].dead]
        if step == "e":
            jobs.append(gevent.spawn(visit, len(jobs)))
        elif step == "k" and alive:
            alive[pick % len(alive)].kill(block=False)
        elif step == "x" and inside:
            leave[inside[pick % len(inside)]].set()
        if pick % 2:  # several steps may happen in one turn of the hub
            gevent.sleep(0)
            gevent.sleep(0)
        assert stage.running <= bound
    gevent.killall(jobs)
    assert entered == sorted(entered)
    assert (stage.running, stage.waiting) == (0, 0)


def test_one_that_is_given_its_place_while_it_is_thrown_out_passes_it_on() -> None:
    stage = Stage(1)
    stage.__enter__()
    late = gevent.spawn(stage.__enter__)
    last = gevent.spawn(stage.__enter__)
    gevent.sleep(0)
    late.kill(block=False)
    stage.__exit__(None, None, None)
    gevent.joinall([late, last], timeout=5)
    assert last.successful()
    assert (stage.running, stage.waiting) == (1, 0)


GATED = """
    from gevent.event import Event
    gate, inside, most = Event(), 0, 0

    def visit():
        global inside, most
        inside += 1
        most = max(most, inside)
        gate.wait()
        inside -= 1

    class P:
        def before_predict(self, n: int): {before}
        def predict(self, n: int) -> int: return n
        def after_predict(self, result): {after}
"""


@pytest.mark.parametrize("stage", ["before", "after"])
def test_no_more_hooks_run_at_once_than_serve_concurrency(serve: Serve, stage: str) -> None:
    bodies = {"before": "pass", "after": "pass"} | {stage: "visit()"}
    client = serve(GATED.format(**bodies), serve={"concurrency": 2})
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(5)]
    found: dict[str, float] = {}
    with Timeout(10):
        while found.get(f"waiting {stage}") != 3:
            gevent.sleep(0.01)
            found = stages(client)
    assert found[f"running {stage}"] == 2
    sys.modules["predictor"].gate.set()
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == list(range(5))
    assert sys.modules["predictor"].most == 2
    assert set(stages(client).values()) == {0}


def stages(client: Client) -> dict[str, float]:
    return {
        f"{state} {sample.labels['stage']}": sample.value
        for family in text_string_to_metric_families(client.function.metrics.render().decode())
        for sample in family.samples
        for state in ("running", "waiting")
        if sample.name == f"mlfunc_stage_{state}"
    }


def test_a_hook_that_waits_for_its_turn_has_the_deadline_of_its_request(serve: Serve) -> None:
    bodies = {"before": "visit()", "after": "pass"}
    client = serve(GATED.format(**bodies), serve={"concurrency": 1, "timeout": "100ms"})
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(3)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [504] * 3
    sys.modules["predictor"].gate.set()
    assert client.post({"n": 1}).status == 200
    assert set(stages(client).values()) == {0}


SLOW_HOOKS = """
    import time, gevent
    story = []

    def tell(what, n): story.append((what, n, time.perf_counter()))

    class P:
        def before_predict(self, n: int):
            tell("asked", n)
            gevent.sleep(0.2)
            tell("ready", n)
        def predict(self, n: int) -> int:
            tell("predict", n)
            time.sleep(0.01)
            tell("predicted", n)
            return n
        def after_response(self, result):
            tell("after", result)
            gevent.sleep(0.2)
            tell("done", result)
"""


def test_slow_hooks_of_many_clients_overlap_with_each_other_and_with_predict(serve: Serve) -> None:
    client = serve(SLOW_HOOKS)

    def two(n: int) -> None:
        assert client.post({"n": n}).json() == n
        assert client.post({"n": n + 64}).json() == n + 64

    gevent.joinall([gevent.spawn(two, n) for n in range(64)], raise_error=True)
    client.drain()
    story: list[tuple[str, int, float]] = sys.modules["predictor"].story
    names = [name for name, _, _ in story]
    assert names[:64] == ["asked"] * 64
    order = {name: [n for what, n, _ in story if what == name] for name in set(names)}
    at = {(what, n): moment for what, n, moment in story}
    assert order["predict"] == order["ready"]  # first come, first served
    assert sorted(order["done"]) == list(range(128))
    # The reply does not wait for after_response: its client asks again while it runs.
    assert all(at["asked", n + 64] < at["done", n] for n in range(64))
    # One hook in the slot's way for each prediction would make it twenty times as much.
    assert idle_although_ready(story) < 128 * 0.01


def idle_although_ready(story: list[tuple[str, int, float]]) -> float:
    """Seconds that the slot had nothing to do while an input was ready."""
    ready, since, idle = 0, 0.0, 0.0
    for what, _, at in story:
        ready += {"ready": 1, "predict": -1}.get(what, 0)
        if what == "predict":
            idle += max(0.0, at - since)
        elif what == "predicted" or (what == "ready" and ready == 1):
            since = at
    return idle
