"""after_response: never in the caller's way, bounded, counted, drained."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import gevent
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Serve = Callable[..., Client]
    Start = Callable[..., Process]

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
