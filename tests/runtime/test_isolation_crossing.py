"""What goes to a predictor's process and comes back: inputs, results, streams, errors."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from .isolated import WILLING, ask, children, isolated, messages, together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Start = Callable[..., Process]
    Serve = Callable[..., Client]


def test_exceptions_are_logged_and_answered_as_they_are_in_a_thread(
    start: Start, tmp_path: Path
) -> None:
    def outcome(**serve: Any) -> tuple[Any, ...]:
        process = start(WILLING, serve=serve)
        status, problem = ask(process, "raise")
        process.stop()
        (line,) = [line for line in process.lines if "secret" in line["message"]]
        told = [problem.pop("request_id") == line["request_id"], problem]
        return status, told, line["message"], line["traceback"]

    assert outcome(isolation="process") == outcome()


def test_a_problem_keeps_status_field_and_headers(start: Start) -> None:
    process = start(WILLING, **isolated())
    reply = process.call(b'{"do": "refuse"}', content_type="application/json")
    problem = json.loads(reply.read())
    assert (reply.status, reply.headers["Retry-After"]) == (429, "9")
    assert (problem["detail"], problem["field"]) == ("slow down", "n")


def test_a_result_that_cannot_cross_is_an_error_and_no_crash(start: Start) -> None:
    process = start(WILLING, **isolated())
    before = children(process)
    assert ask(process, "lock")[0] == 500
    assert ask(process, "pid") == (200, before[0])
    process.stop()
    told = "what predict returned cannot leave its process: TypeError: cannot pickle '_thread.lock' object"
    assert any(told in message for message in messages(process))


def test_an_argument_that_cannot_cross_is_an_error_and_no_crash(start: Start) -> None:
    process = start(
        """
        import threading
        class P:
            def before_predict(self, n: int): return threading.Lock() if n else 0
            def predict(self, n): return n
        """,
        **isolated(),
    )
    assert process.json(b'{"n": 1}')[0] == 500
    assert process.json(b'{"n": 0}') == (200, 0)
    process.stop()
    assert any("is given cannot cross to its process" in text for text in messages(process))


STREAM = """
    import os, sys, time
    class P:
        def predict(self, n: int, pause: float = 0, end: int = -1):
            try:
                for i in range(n):
                    if i == end: os._exit(1)
                    yield {"i": i}
                    time.sleep(pause)
            finally:
                print("closed", i, flush=True)
"""


def test_a_generator_s_items_cross_as_they_are_made(serve: Serve) -> None:
    client = serve(STREAM, **isolated())
    assert client.post({"n": 100}).events() == [{"i": i} for i in range(100)]
    assert client.post({"n": 1}).events() == [{"i": 0}]


def test_a_generator_is_closed_when_its_reader_leaves_and_the_slot_is_free(start: Start) -> None:
    process = start(STREAM, **isolated())
    reply = process.call(b'{"n": 100000, "pause": 0.01}', content_type="application/json")
    assert reply.readline() == b'data: {"i":0}\n'
    reply.close()
    process.connections[-1].close()
    assert process.child.stdout is not None
    assert process.child.stdout.readline().startswith("closed")
    assert process.call(b'{"n": 1}', content_type="application/json").read().count(b"data:") == 2


def test_a_crash_in_the_middle_of_a_stream_ends_it_with_a_problem(start: Start) -> None:
    process = start(STREAM, **isolated())
    body = process.call(b'{"n": 9, "end": 1}', content_type="application/json").read().decode()
    first, last, _ = body.split("\n\n")
    assert first == 'data: {"i":0}'
    assert last.startswith("event: error")
    assert json.loads(last.partition("data: ")[2])["status"] == 500
    assert process.call(b'{"n": 1}', content_type="application/json").status == 200


def test_large_arrays_and_bodies_cross(serve: Serve) -> None:
    client = serve(
        """
        import numpy as np
        class P:
            def predict(self, values: np.ndarray): return values * 2
        """,
        **isolated(),
    )
    values = [float(n) for n in range(150_528)]
    for _ in range(3):
        assert client.post({"values": values}).json() == [2 * value for value in values]


def test_a_large_body_of_bytes_comes_back(serve: Serve) -> None:
    client = serve(
        "class P:\n    def predict(self, body: bytes) -> bytes: return body[::-1]", **isolated()
    )
    body = os.urandom(10**6)
    assert client.post(body).body == body[::-1]


def test_batches_cross_and_one_request_of_them_fails_alone(start: Start) -> None:
    process = start(
        """
        import time
        class P:
            def predict(self, n: list[int]) -> list:
                time.sleep(0.2)
                return [[v, len(n)] if v % 4 else ValueError(v) for v in n]
        """,
        **isolated(batch={"max_size": 8}),
    )
    answers = together(lambda n: process.json(b'{"n": %d}' % n), range(9))
    assert [status for status, _ in answers] == [200 if n % 4 else 500 for n in range(9)]
    values = [value for status, value in answers if status == 200]
    assert [value for value, _ in values] == [n for n in range(9) if n % 4]
    assert max(size for _, size in values) > 1


def test_a_result_that_cannot_cross_fails_alone_in_its_batch(start: Start) -> None:
    process = start(
        """
        import threading, time
        class P:
            def predict(self, n: list[int]) -> list:
                time.sleep(0.2)
                return [v if v else threading.Lock() for v in n]
        """,
        **isolated(batch={"max_size": 8}),
    )
    answers = together(lambda n: process.json(b'{"n": %d}' % n), range(4))
    assert [status for status, _ in answers] == [500, 200, 200, 200]


def test_a_predictor_gets_the_request_and_what_it_leaves_in_state_comes_back(serve: Serve) -> None:
    client = serve(
        """
        class P:
            def before_predict(self, request): request.state["before"] = 1
            def predict(self, body: dict, request):
                request.state["during"] = request.state["before"] + 1
                return [request.id, request.headers["x-a"], request.data, request.cancelled]
            def after_predict(self, result, request): return [*result, request.state]
        """,
        **isolated(),
    )
    reply = client.post({"n": 1}, headers={"X-Request-Id": "r1", "X-A": "b"})
    assert reply.json() == ["r1", "b", {"n": 1}, False, {"before": 1, "during": 2}]


def test_a_state_that_cannot_come_back_is_told_and_the_result_does(start: Start) -> None:
    process = start(
        """
        import threading
        class P:
            def predict(self, n: int, request):
                request.state["lock"] = threading.Lock()
                return n
        """,
        **isolated(),
    )
    assert process.json(b'{"n": 1}') == (200, 1)
    process.stop()
    assert any("request.state cannot leave" in message for message in messages(process))


def test_an_event_crosses(serve: Serve) -> None:
    client = serve(
        """
        class P:
            def predict(self, n: int, event):
                return [n, event.get_id(), event.get_type()]
        """,
        **isolated(),
    )
    assert client.event({"n": 1}, id="e7", type="a.b").json() == [1, "e7", "a.b"]


def test_a_running_predictor_sees_that_nobody_waits_any_more(start: Start) -> None:
    process = start(
        """
        import time
        class P:
            def predict(self, n: int, request):
                while n and not request.cancelled: time.sleep(0.01)
                if n: print("cancelled", flush=True)
                return n
        """,
        **isolated(timeout="500ms"),
    )
    assert process.json(b'{"n": 1}')[0] == 504
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "cancelled\n"
    assert process.json(b'{"n": 0}') == (200, 0)


def test_a_batch_is_collated_where_the_model_is(start: Start) -> None:
    process = start(
        """
        import os
        class P:
            def load(self): self.scale = 3
            def collate(self, n: list[int]):
                if 9 in n: raise ValueError("nine")
                return [(each * self.scale, os.getpid()) for each in n]
            def predict(self, batch) -> list: return batch
        """,
        **isolated(batch={"max_size": 4}),
    )
    (child,) = children(process)
    answers = together(lambda n: process.json(b'{"n": %d}' % n), range(6, 11))
    assert answers[3][0] == 500
    del answers[3]
    assert answers == [(200, [3 * n, child]) for n in (6, 7, 8, 10)]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_whatever_is_wrong_with_what_predict_raises_it_is_logged_and_answered(
    start: Start, isolation: str
) -> None:
    process = start(
        """
        class Broken(Exception):
            def __str__(self): raise RuntimeError("no text")
        class P:
            def predict(self, what: str) -> str:
                if what == "broken": raise Broken
                if what == "surrogate": raise ValueError("a" + chr(0xdcff))
                if what == "huge": raise ValueError("x" * 10_000_000)
                if what == "exit": raise SystemExit(3)
                return what
        """,
        serve={"isolation": isolation},
    )
    for what in ("broken", "surrogate", "huge", "exit"):
        assert process.json(json.dumps({"what": what}).encode())[0] == 500
    assert process.json(b'{"what": "good"}') == (200, "good")
    process.stop()
    told = [line["message"] for line in process.lines if line["level"] == "error"]
    assert told[0] == "Broken: (its text cannot be made: RuntimeError)"
    assert told[1] == "ValueError: a" + chr(0xDCFF)
    assert told[2].startswith("ValueError: xxx")
    assert told[3:] == ["RuntimeError: predict raised SystemExit"]
    assert process.others == []


def test_a_batch_in_a_process_hears_which_of_its_requests_nobody_waits_for(start: Start) -> None:
    process = start(
        """
        import time
        class P:
            def predict(self, n: list[int], request: list) -> list:
                if 0 in n: time.sleep(0.3)
                while 1 in n and not any(each.cancelled for each in request): time.sleep(0.01)
                return [each.cancelled for each in request]
        """,
        **isolated(batch={"max_size": 4}),
    )

    def call(n: int) -> Any:
        time.sleep(0.1 * (n > 0))
        headers: Any = {"x_request_timeout": "800ms"} if n == 1 else {}
        reply = process.call(b'{"n": %d}' % n, content_type="application/json", **headers)
        return reply.status, json.loads(reply.read())

    answers = together(call, range(3))
    assert answers[1][0] == 504
    assert [answers[0], answers[2]] == [(200, False), (200, False)]


def test_a_generator_that_is_closed_knows_that_nobody_waits(start: Start) -> None:
    process = start(
        """
        class P:
            def predict(self, request, n: int):
                try:
                    for i in range(n): yield "x" * 10000
                finally:
                    print("cancelled", request.cancelled, flush=True)
        """,
        **isolated(),
    )
    reply = process.call(b'{"n": 100000}', content_type="application/json")
    reply.read(10)
    reply.close()
    process.connections[-1].close()
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "cancelled True\n"


def test_what_an_async_hook_raises_is_told_under_its_name(start: Start) -> None:
    process = start(
        """
        class P:
            def predict(self, n: int) -> int: return n
            async def after_response(self, result): raise SystemExit(1)
        """,
        **isolated(),
    )
    process.call(b'{"n": 1}', content_type="application/json").read()
    process.stop()
    (error,) = [line["message"] for line in process.lines if line["level"] == "error"]
    assert "after_response raised SystemExit" in error
