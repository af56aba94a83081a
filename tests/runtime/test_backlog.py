"""after_response: never in the caller's way, bounded, counted, drained."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import settings
from mlfunc_runtime.backlog import Backlog
from mlfunc_runtime.deadletter import DeadLetters
from mlfunc_runtime.messages import Request
from mlfunc_runtime.metrics import Metrics
from mlfunc_runtime.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Serve = Callable[..., Client]
    Start = Callable[..., Process]


def make_settings(**changes: Any) -> settings.Settings:
    made: settings.Settings = msgspec.structs.replace(BARE, **changes)
    return made


BARE = settings.Settings(
    name="a",
    folder=Path(),
    predictor="predictor.py:P",
    models={},
    accelerator="cpu",
    config={},
    reply_type="t",
)
SLOW = """
    import gevent
    done = []

    class P:
        def predict(self, n: int) -> int: return n
        def after_response(self, result):
            gevent.sleep(0.2)
            done.append(result)
"""


GATED = """
    from gevent.event import Event
    gate, done = Event(), []

    class P:
        def predict(self, n: int) -> int: return n
        def after_response(self, result):
            gate.wait()
            done.append(result)
"""


def test_the_reply_does_not_wait_for_the_hook(serve: Serve) -> None:
    client = serve(GATED)
    assert client.post({"n": 1}).json() == 1
    sys.modules["predictor"].gate.set()
    client.drain()
    assert sys.modules["predictor"].done == [1]


def test_every_hook_runs_even_when_more_wait_than_run(serve: Serve) -> None:
    client = serve(SLOW, serve={"hooks": {"concurrency": 4}})
    for n in range(12):
        client.post({"n": n})
    client.drain()
    assert sorted(sys.modules["predictor"].done) == list(range(12))
    assert client.function.metrics.hooks["ok"] == 12


def test_a_full_backlog_holds_new_requests_back(serve: Serve) -> None:
    client = serve(GATED, serve={"hooks": {"concurrency": 1, "backlog": 2}})
    client.post({"n": 0})
    client.post({"n": 1})
    held = gevent.spawn(client.post, {"n": 2})
    gevent.sleep(0.1)
    assert not held.ready()
    sys.modules["predictor"].gate.set()
    assert held.get().json() == 2
    client.drain()
    assert sys.modules["predictor"].done == [0, 1, 2]


def test_a_backlog_that_stays_full_refuses(serve: Serve) -> None:
    client = serve(SLOW, serve={"timeout": "50ms", "hooks": {"concurrency": 1, "backlog": 1}})
    client.post({"n": 0})
    reply = client.post({"n": 1})
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no')", "after_response raised ValueError: no"),
        ("gevent.sleep(9)", "after_response took more than 0.05 s and was ended"),
        ("raise SystemExit(1)", "after_response raised SystemExit: 1"),
    ],
)
def test_a_hook_that_fails_is_logged_with_its_request_and_counted(
    serve: Serve, caplog: pytest.LogCaptureFixture, body: str, told: str
) -> None:
    source = f"""
        import gevent
        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result): {body}
    """
    client = serve(source, serve={"hooks": {"timeout": "50ms"}})
    client.post({"n": 1}, headers={"X-Request-Id": "r9"})
    client.drain()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == told
    assert record.fields["request_id"] == "r9"  # type: ignore[attr-defined]
    assert client.function.metrics.hooks["failed"] == 1


def test_hooks_run_for_a_client_that_left(start: Start) -> None:
    process = start("""
        import time
        class P:
            def predict(self, n: int) -> bytes:
                time.sleep(0.2)
                return b"x" * 50_000_000
            def after_response(self, request): print("hook ran", flush=True)
    """)
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(
            b'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"n": 1}'
        )
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "hook ran\n"


def test_sigterm_waits_for_hooks_and_says_so(start: Start) -> None:
    process = start("""
        import time
        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result):
                time.sleep(1)
                print("hook", result, flush=True)
    """)
    for n in range(5):
        assert process.json(b'{"n": %d}' % n) == (200, n)
    assert process.stop() == 0
    assert sorted(process.others) == [f"hook {n}" for n in range(5)]
    draining = next(line for line in process.lines if line.get("phase") == "draining")
    assert draining["hooks"] == 5
    assert process.lines[-1]["phase"] == "stopped"


def test_hooks_that_do_not_end_within_the_drain_are_told_in_the_exit_code(start: Start) -> None:
    process = start(
        """
        import time
        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result): time.sleep(60)
        """,
        serve={"drain": "300ms"},
    )
    process.json(b'{"n": 1}')
    assert process.stop() == 3
    assert (process.lines[-1]["phase"], process.lines[-1]["hooks"]) == ("stopped", 1)


FLAKY = """
    from gevent.event import Event
    import time
    tries, gate = [], Event()

    class P:
        def predict(self, n: int) -> int: return n
        def after_response(self, result):
            tries.append((result, time.monotonic()))
            if result < 0:
                gate.wait()
            elif len([n for n, _ in tries if n == result]) <= result:
                raise ValueError(f"{result} failed")
"""


def test_a_hook_that_failed_is_tried_again_with_pauses_that_double(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(FLAKY, serve={"hooks": {"retries": 2, "backoff": "50ms"}})
    client.post({"n": 2})
    client.drain()
    moments = [moment for _, moment in sys.modules["predictor"].tries]
    first, second = (later - earlier for earlier, later in itertools.pairwise(moments))
    assert first >= 0.05
    assert second >= 0.1
    metrics = client.function.metrics
    assert (metrics.hooks["ok"], metrics.hooks["failed"], metrics.hook_retries) == (1, 0, 2)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "after_response raised ValueError: 2 failed; tried again in 0.05 s" in caplog.messages


def test_a_hook_fails_for_good_when_its_retries_are_used_up(serve: Serve) -> None:
    client = serve(FLAKY, serve={"hooks": {"retries": 2, "backoff": "1ms"}})
    client.post({"n": 9})
    client.drain()
    assert len(sys.modules["predictor"].tries) == 3
    assert client.function.metrics.hooks == {"ok": 0, "failed": 1, "undone": 0}


def test_a_hook_that_waits_for_its_next_try_lets_others_run(serve: Serve) -> None:
    client = serve(FLAKY, serve={"hooks": {"concurrency": 1, "retries": 1, "backoff": "5s"}})
    client.post({"n": 1})
    client.post({"n": 0})
    with gevent.Timeout(4):
        while client.function.metrics.hooks["ok"] != 1:
            gevent.sleep(0.01)
    backlog = client.function.backlog
    assert (backlog.size, backlog.running, backlog.waiting) == (1, 0, 1)
    assert backlog.oldest > 0


def test_at_the_end_tries_come_at_once_and_later_ones_are_not_waited_for(start: Start) -> None:
    process = start(
        """
        tries = []
        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result):
                tries.append(result)
                if len(tries) < 3 or result: raise ValueError("not yet")
                print("done", result, flush=True)
        """,
        serve={"drain": "40s", "hooks": {"retries": 9, "backoff": "60s"}},
    )
    for n in (1, 0):
        process.json(b'{"n": %d}' % n)
    asked = time.monotonic()
    assert process.stop() == 3
    assert time.monotonic() - asked < 20
    assert process.others == ["done 0"]
    assert process.lines[-1]["hooks"] == 1
    told = [line["message"] for line in process.lines if line["level"] == "error"]
    assert told == ["after_response raised ValueError: not yet"]


def test_a_hook_that_took_too_long_is_not_tried_again(serve: Serve) -> None:
    client = serve(FLAKY, serve={"hooks": {"retries": 5, "backoff": "1ms", "timeout": "50ms"}})
    client.post({"n": -1})
    client.drain()
    assert len(sys.modules["predictor"].tries) == 1
    assert client.function.metrics.hooks["failed"] == 1


def test_waiting_for_room_takes_of_the_requests_own_time(serve: Serve) -> None:
    hooks = {"concurrency": 1, "backlog": 1}
    client = serve(GATED, serve={"timeout": "30s", "hooks": hooks})
    client.post({"n": 0})
    request = Request(b'{"n": 1}', {"content-type": "application/json"})
    request.arrived -= 60  # it was under way for long
    reply = client.function.handle(request)
    client.function.sent(request, reply)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert time.perf_counter() - request.arrived < 60 + 25  # not 30 more
    sys.modules["predictor"].gate.set()


RAISED = [
    "raise GreenletExit",
    "raise KeyboardInterrupt",
    "raise SystemExit(3)",
    "raise Timeout(1)",
    "raise Odd()",
    "gevent.getcurrent().kill()",
    "gevent.getcurrent().kill(block=False) or gevent.sleep(9)",
]


@pytest.mark.parametrize("body", RAISED)
def test_whatever_ends_a_hook_it_is_counted_and_frees_its_place(serve: Serve, body: str) -> None:
    client = serve(
        f"""
        import gevent
        from gevent import GreenletExit, Timeout
        done = []

        class Odd(BaseException):
            def __str__(self): raise ValueError("no text")

        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result):
                if result == 1: {body}
                done.append(result)
        """,
        serve={"hooks": {"concurrency": 1}},
    )
    for n in (1, 2, 1, 3):
        assert client.post({"n": n}).json() == n
    client.drain()
    assert sys.modules["predictor"].done == [2, 3]
    assert client.function.metrics.hooks == {"ok": 2, "failed": 2, "undone": 0}
    assert client.function.backlog.size == client.function.backlog.running == 0


def test_killed_before_it_began_a_hook_is_counted_too(serve: Serve) -> None:
    client = serve(GATED)
    client.post({"n": 1})
    gevent.killall(list(client.function.backlog._running))
    client.drain()
    assert sys.modules["predictor"].done == []
    assert client.function.metrics.hooks == {"ok": 0, "failed": 1, "undone": 0}


@given(
    st.lists(st.sampled_from(["submit", "end", "fail", "kill", "turn"]), max_size=60), st.booleans()
)
def test_every_hook_that_was_accepted_ends_in_one_way(steps: list[str], stop: bool) -> None:
    metrics = Metrics()
    told = make_settings(hook_concurrency=2, hook_retries=1, hook_backoff=0.001, hook_timeout=60.0)
    backlog = Backlog(metrics, DeadLetters(None, "a", metrics), told)
    gates: list[tuple[Event, list[bool]]] = []
    done: list[int] = []
    accepted = 0

    def hook(number: int) -> None:
        gate: tuple[Event, list[bool]] = (Event(), [])
        gates.append(gate)
        try:
            gate[0].wait()
        finally:
            gates.remove(gate)
        if not gate[1]:
            raise ValueError
        done.append(number)

    for step in steps:
        match step:
            case "submit":
                backlog.submit(Work(Request(), partial(hook, accepted)))
                accepted += 1
            case "end" if gates:
                gates[0][1].append(True)
                gates[0][0].set()
            case "fail" if gates:
                gates[0][0].set()
            case "kill":
                gevent.killall(list(backlog._running)[:1], block=False)
            case _:
                gevent.sleep(0)
        assert len(gates) <= 2
    given_up = backlog.give_up(time.monotonic() + 1).hooks if stop else 0
    while backlog.size:
        for event, good in gates:
            good.append(True)
            event.set()
        gevent.sleep(0.001)
    hooks = metrics.hooks
    assert sum(hooks.values()) == accepted
    assert hooks["ok"] == len(done) == len(set(done))
    assert hooks["undone"] == given_up
    assert backlog.running == 0


def test_a_hook_that_comes_when_the_function_has_stopped_is_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve("class P:\n    def predict(self, n: int) -> int: return n")
    client.function.stop(time.monotonic() + 1)
    client.function.backlog.submit(Work(Request(request_id="r9"), lambda: None))
    assert (client.function.metrics.hooks["undone"], client.function.backlog.size) == (1, 0)
    (record,) = caplog.records
    assert record.fields["request_id"] == "r9"  # type: ignore[attr-defined]
