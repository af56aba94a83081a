"""The path of a request, through the real pipeline in process."""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from mlfunc_runtime.messages import Gone
from mlfunc_runtime.pipeline import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]

HOOKS = """
    import threading

    class P:
        def before_predict(self, request):
            return {"number": request.data["text"].count("a"), "unit": "a"}

        def predict(self, number: int, unit: str) -> str:
            return f"{number} x {unit}"

        def after_predict(self, result, request):
            return {"answer": result, "asked": request.data}

        def after_response(self, result, request):
            request.headers  # the request is whole after the reply, too
            seen.append((result, request.id))

    seen = []
"""


def test_hooks_run_around_predict_and_after_the_reply(serve: Serve) -> None:
    client = serve(HOOKS)
    reply = client.post({"text": "banana"}, headers={"X-Request-Id": "r-1"})
    assert reply.json() == {"answer": "3 x a", "asked": {"text": "banana"}}
    client.drain()
    import sys

    assert sys.modules["predictor"].seen == [
        ({"answer": "3 x a", "asked": {"text": "banana"}}, "r-1")
    ]


def test_a_hook_that_returns_none_changes_nothing(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, request): pass
            def predict(self, text: str) -> str: return text.upper()
            def after_predict(self, result): pass
    """)
    assert client.post({"text": "a"}).json() == "A"


def test_what_before_predict_lets_through_is_validated(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, request): pass
            def predict(self, text: str) -> str: return text
    """)
    reply = client.post({"text": 3})
    assert (reply.status, reply.json()["field"]) == (400, "text")


def test_parameters_of_before_predict_are_the_fields_of_the_body(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, customer: int, request): return [customer, len(request.id)]
            def predict(self, features: list[float]) -> float: return sum(features)
    """)
    assert client.post({"customer": 3}, headers={"X-Request-Id": "12345"}).json() == 8
    assert client.post({"features": [1]}).json()["field"] in ("customer", "features")


@pytest.mark.parametrize("hook", ["before_predict", "after_predict"])
def test_async_hooks_are_awaited(serve: Serve, hook: str) -> None:
    argument = "result" if hook == "after_predict" else "request"
    client = serve(f"""
        import asyncio

        class P:
            async def load(self): self.loop = asyncio.get_running_loop()
            def predict(self, n: int) -> int: return n * 10
            async def {hook}(self, {argument}):
                await asyncio.sleep(0.01)
                assert asyncio.get_running_loop() is self.loop
                return 7
            async def after_response(self, result): await asyncio.sleep(0)
            async def unload(self): await asyncio.sleep(0)
    """)
    assert client.post({"n": 1}).json() == (7 if hook == "after_predict" else 70)


def test_hooks_of_many_requests_wait_side_by_side(serve: Serve) -> None:
    client = serve("""
        import gevent

        class P:
            def before_predict(self, request): gevent.sleep(0.2)
            def predict(self, n: int) -> int: return n
            def after_predict(self, result): gevent.sleep(0.2)
    """)
    started = time.perf_counter()
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(20)]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == list(range(20))
    assert time.perf_counter() - started < 20 * 0.2


def test_predict_runs_in_one_native_thread_per_slot(serve: Serve) -> None:
    client = serve(
        """
        import time
        from gevent import monkey
        ident = monkey.get_original("_thread", "get_ident")

        class P:
            def load(self): self.loaded_in = ident()
            def predict(self, n: int) -> list[int]:
                time.sleep(0.02)
                return [ident(), self.loaded_in]
        """,
        serve={"slots": 2},
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(8)]
    gevent.joinall(jobs)
    threads = {job.value.json()[0] for job in jobs}
    assert len(threads) == 2
    assert jobs[0].value.json()[1] in threads


def test_the_hub_turns_while_predict_blocks(serve: Serve) -> None:
    client = serve("""
        import time

        class P:
            def predict(self, n: int) -> int:
                time.sleep(0.3)
                return n
    """)
    job = gevent.spawn(client.post, {"n": 1})
    gevent.sleep(0.05)
    assert client.get("/health/liveness").status == 200
    assert not job.ready()
    job.join()


def test_a_request_that_takes_too_long_gets_504_and_frees_nothing_twice(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(
        """
        import time

        class P:
            def predict(self, seconds: float) -> str:
                time.sleep(seconds)
                return "done"
        """,
        serve={"timeout": "200ms"},
    )
    reply = client.post({"seconds": 0.4})
    assert (reply.status, reply.json()["detail"]) == (504, "no answer within 0.2 s")
    assert "no answer within 0.2 s" in caplog.messages
    gevent.sleep(0.3)
    assert client.post({"seconds": 0}).json() == "done"


def test_a_request_that_nobody_waits_for_never_reaches_predict(serve: Serve) -> None:
    client = serve(
        """
        import time
        ran = []

        class P:
            def predict(self, name: str, seconds: float) -> str:
                time.sleep(seconds)
                ran.append(name)
                return name
        """,
        serve={"timeout": "200ms"},
    )
    first = gevent.spawn(client.post, {"name": "slow", "seconds": 0.5})
    gevent.sleep(0.01)
    late = gevent.spawn(client.post, {"name": "late", "seconds": 0})
    gevent.joinall([first, late])
    assert (first.value.status, late.value.status) == (504, 504)
    gevent.sleep(0.4)
    assert client.post({"name": "next", "seconds": 0}).json() == "next"
    import sys

    assert sys.modules["predictor"].ran == ["slow", "next"]


@pytest.mark.parametrize(
    "raised",
    [
        "ValueError('secret')",
        "SystemExit(3)",
        "gevent.Timeout(1)",
        "KeyboardInterrupt()",
        "gevent.GreenletExit()",
    ],
)
@pytest.mark.parametrize("where", ["before_predict", "predict", "after_predict"])
def test_an_exception_of_user_code_is_a_500_without_its_inside(
    serve: Serve, caplog: pytest.LogCaptureFixture, raised: str, where: str
) -> None:
    methods = {
        "before_predict": "self, request",
        "predict": "self, n: int",
        "after_predict": "self, result",
    }
    bodies = dict.fromkeys(methods, "return None") | {where: f"raise {raised}"}
    source = "import gevent\nclass P:\n" + "".join(
        f"    def {name}({arguments}): {bodies[name]}\n" for name, arguments in methods.items()
    )
    client = serve(source)
    reply = client.post({"n": 1})
    assert reply.status == 500
    assert "secret" not in reply.body.decode()
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    fields = error.fields  # type: ignore[attr-defined]
    assert "predictor.py" in fields["traceback"]
    assert "mlfunc_runtime" not in fields["traceback"]
    assert client.post({"n": "x"}).status in (400, 500)
    assert client.function.in_flight == 0


@pytest.mark.parametrize("hook", ["before_predict", "after_predict"])
def test_a_hook_that_kills_its_own_greenlet_is_answered_and_counted(
    serve: Serve, hook: str
) -> None:
    client = serve(f"""
        import gevent
        class P:
            def {hook}(self, request): gevent.getcurrent().kill()
            def predict(self, n: int) -> int: return n
    """)
    assert [gevent.spawn(client.post, {"n": 1}).get().status for _ in range(3)] == [500] * 3
    assert client.function.in_flight == 0


def test_slots_are_busy_while_a_long_predict_runs(serve: Serve) -> None:
    client = serve("""
        from _queue import SimpleQueue
        go = SimpleQueue()
        class P:
            def predict(self, n: int) -> int:
                go.get()
                return n
    """)
    import sys

    seconds = client.function.metrics.slot_seconds
    job = gevent.spawn(client.post, {"n": 1})
    gevent.sleep(0.05)
    first = seconds()
    gevent.sleep(0.05)
    assert 0 < first < seconds()
    sys.modules["predictor"].go.put(True)
    job.get()
    gevent.sleep(0.05)
    assert seconds() == seconds() > first


def test_a_predictor_chooses_its_status_with_a_problem(serve: Serve) -> None:
    client = serve("""
        from mlfunc_runtime import Problem

        class P:
            def predict(self, n: int) -> int:
                raise Problem(422, "n must be even", field="n", headers={"X-Why": "odd"})
    """)
    reply = client.post({"n": 1})
    assert (reply.status, reply.json()["field"], reply.headers["X-Why"]) == (422, "n", "odd")


def test_more_requests_than_may_wait_are_refused_at_once(serve: Serve) -> None:
    client = serve(
        """
        import time

        class P:
            def predict(self, n: int) -> int:
                time.sleep(0.05)
                return n
        """,
        serve={"concurrency": 1},
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(12)]
    gevent.joinall(jobs)
    statuses = [job.value.status for job in jobs]
    assert statuses.count(503) == 2
    assert statuses.count(200) == 10
    assert next(job.value for job in jobs if job.value.status == 503).headers["Retry-After"] == "1"


def test_server_timing_tells_the_stages_apart(serve: Serve) -> None:
    client = serve("""
        import time, gevent

        class P:
            def before_predict(self, request): gevent.sleep(0.03)
            def predict(self, n: int) -> int:
                time.sleep(0.06)
                return n
            def after_predict(self, result): gevent.sleep(0.01)
    """)
    value = client.post({"n": 1}).headers["Server-Timing"]
    stages = {part.split(";")[0]: float(part.split("=")[1]) for part in value.split(", ")}
    assert list(stages) == ["queue", "before", "predict", "after"]
    assert stages["before"] >= 29
    assert stages["predict"] >= 59
    assert stages["after"] >= 9


def test_reply_lets_a_predictor_choose_everything(serve: Serve) -> None:
    client = serve("""
        from mlfunc_runtime import Reply

        class P:
            def predict(self, n: int): return Reply(b"<b>1</b>", status=201, content_type="text/html")
    """)
    reply = client.post({"n": 1})
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (
        201,
        b"<b>1</b>",
        "text/html",
    )


def test_request_and_event_are_given_by_name(serve: Serve) -> None:
    client = serve("""
        class P:
            def predict(self, text: str, request, event=None):
                return [text, request.headers["x-color"], event and event.get_type()]
    """)
    headers = {"X-Color": "red"}
    assert client.post({"text": "a"}, headers=headers).json() == ["a", "red", None]


def test_predict_cannot_end_the_process(serve: Serve) -> None:
    client = serve("""
        class P:
            def predict(self, n: int): raise KeyboardInterrupt
    """)
    assert client.post({"n": 1}).status == 500
    assert client.post({"n": 1}).status == 500


def test_a_before_predict_that_takes_bytes_sees_them(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, request): return request.body[::-1]
            def predict(self, image: bytes) -> bytes: return image
    """)
    assert client.post(b"abc").body == b"cba"


@pytest.mark.parametrize(
    "broken",
    [
        "raise Problem(200, 'no error')",
        "raise Problem(400, ValueError('x'))",
        "raise Problem(400, 'bad \\ud800')",
        "raise Problem(499, 'closed')",
        "raise Problem(400, 'x', headers={'X-A': 'a' + chr(10) + 'b'})",
        "return Reply(b'x', headers={'X-A': 'a' + chr(10) + 'b'})",
        "return Reply(b'x', headers={'X-A': chr(0x4e2d)})",
        "return Reply(b'x', headers={'X-A': 3})",
        "return Reply(b'x', headers={'X A': 'a'})",
        "return Reply('text')",
        "return Reply(x for x in [b'a'])",
        "return Reply(b'x', status=999)",
        "return Reply(b'x', status='201')",
        "return chr(0xd800)",
        "return object()",
    ],
)
def test_a_reply_that_cannot_be_sent_is_answered_and_counted(serve: Serve, broken: str) -> None:
    client = serve(f"""
        from mlfunc_runtime import Problem, Reply

        class P:
            def predict(self, n: int): {broken}
    """)
    reply = client.post({"n": 1}, headers={"X-Request-Id": "r-8"})
    assert reply.status in (400, 499, 500)
    assert reply.json()["request_id"] == reply.headers["X-Request-Id"] == "r-8"
    assert client.function.in_flight == 0


def test_headers_of_a_reply_are_one_each_whatever_their_case(serve: Serve) -> None:
    client = serve("""
        from mlfunc_runtime import Reply
        class P:
            def predict(self, n: int): return Reply(bytearray(b"x"), headers={"content-type": "text/plain"})
    """)
    assert client.post({"n": 1}).headers.getlist("Content-Type") == ["text/plain"]


def test_a_mutable_default_is_copied_for_each_request(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, a: int): return {"a": a}
            def predict(self, a: int, seen: list = []) -> list:
                seen.append(a)
                return seen
    """)
    assert [client.post({"a": n}).json() for n in range(3)] == [[0], [1], [2]]


def test_before_predict_may_make_bytes_of_a_field(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, url: str): return url.encode()
            def predict(self, image: bytes) -> int: return len(image)
    """)
    assert client.post({"url": "abc"}).json() == 3


@pytest.mark.parametrize("content_type", ["text/csv", "image/png", "application/json", ""])
def test_a_before_predict_that_takes_the_request_takes_any_body(
    serve: Serve, content_type: str
) -> None:
    client = serve("""
        class P:
            def before_predict(self, request): return [request.data, len(request.body)]
            def predict(self, seen) -> list: return seen
    """)
    assert client.post(b"a,b", content_type=content_type).json() == [None, 3]
    assert client.post(b"[1]", content_type=content_type).json() == [[1], 3]


def test_a_decorated_coroutine_hook_is_awaited(serve: Serve) -> None:
    client = serve("""
        import asyncio, functools

        def plain(method):
            @functools.wraps(method)
            def wrapper(*args, **kwargs): return method(*args, **kwargs)
            return wrapper

        class P:
            def predict(self, n: int) -> int: return n
            @plain
            async def after_predict(self, result):
                await asyncio.sleep(0)
                return result + 1
    """)
    assert client.post({"n": 1}).json() == 2


def test_deep_json_is_a_bad_request(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, x): return x")
    reply = client.post(b"[" * 5000 + b"]" * 5000, content_type="application/json")
    assert (reply.status, reply.json()["detail"]) == (400, "the body is nested too deeply")


def test_a_compressed_body_is_refused_by_its_header(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, x): return x")
    headers = {"Content-Encoding": "gzip"}
    reply = client.post(b"\x1f\x8b", content_type="application/json", headers=headers)
    assert (reply.status, reply.json()["field"]) == (415, "Content-Encoding")


BATCH = "application/cloudevents-batch+json"


def event_of(n: int) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(n), "source": "/test", "type": "t", "data": {"n": n}}


AWAITS = """
    import time, random
    class P:
        def before_predict(self, n: int):
            time.sleep(random.random() / 50)
            return n
        {predict}
        def items(self, n):
            for i in range(n % 7):
                time.sleep(0.002)
                yield i
        def after_predict(self, result):
            time.sleep(random.random() / 50)
        def after_response(self, result):
            time.sleep(random.random() / 50)
            if random.random() < 0.2: raise ValueError
"""


ALONE = """def predict(self, n: int):
            time.sleep(random.random() / 100)
            return self.items(n) if n % 3 == 0 else n
"""
BATCHED = """def collate(self, n: list[int]):
            time.sleep(random.random() / 100)
            return n
        def predict(self, batch):
            time.sleep(random.random() / 50)
            if len(batch) == 2: raise ValueError
            return batch
"""


@pytest.mark.parametrize("predict", [ALONE, BATCHED])
@pytest.mark.parametrize("seed", range(2))
def test_wherever_requests_are_thrown_out_the_counts_return_to_zero(
    serve: Serve, seed: int, predict: str
) -> None:
    client = serve(
        AWAITS.replace("{predict}", predict),
        serve={
            "concurrency": 4,
            "slots": 2,
            "batch": {"max_size": 4 if predict is BATCHED else 1},
            "hooks": {"retries": 1, "backoff": "10ms", "backlog": 6},
        },
    )
    dice = random.Random(seed)
    pipeline = client.function._pipeline
    assert pipeline is not None

    def send(n: int) -> int:
        headers = {"X-Request-Timeout": f"{dice.randint(1, 80)}ms"} if n % 4 == 0 else {}
        if n % 5 == 0:
            events = [event_of(dice.randint(0, 20)) for _ in range(dice.randint(1, 4))]
            return client.post(events, content_type=BATCH, headers=headers).status
        if n % 5 == 1:
            return client.event({"n": n % 8}, id=str(n % 8)).status
        return client.post({"n": n}, headers=headers).status

    def throw(request: Request, error: type[BaseException]) -> None:
        greenlet = pipeline._here.get(request)
        if greenlet is not None and (error is Stopping or not request.begun):
            greenlet.throw(error)

    jobs: list[gevent.Greenlet[..., int]] = []

    def has_happened() -> bool:
        return {200, 499, 503} <= {job.value for job in jobs}

    # On a busy machine, the dice take longer to have thrown all.
    for n in itertools.takewhile(lambda n: n < 100 or not has_happened(), range(3000)):
        jobs.append(gevent.spawn(send, n))
        gevent.sleep(dice.random() / 200)
        here = list(pipeline._here)
        if here and n % 2:
            gevent.get_hub().loop.run_callback(
                throw, dice.choice(here), dice.choice([Gone, Stopping])
            )
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert all(job.dead for job in jobs)
    assert has_happened()
    client.drain()
    until = time.monotonic() + 10
    while (client.function.metrics.stages["predict"]() != (0, 0)) and time.monotonic() < until:
        gevent.sleep(0.01)
    assert {
        stage: counts() for stage, counts in client.function.metrics.stages.items()
    } == dict.fromkeys(("before", "predict", "after", "after_response"), (0, 0))
    assert (pipeline.in_flight, pipeline._places, pipeline.batcher.coming) == (0, 0, 0)
    assert pipeline.redelivery._running == {}
    assert client.function.backlog.size == 0
    assert pipeline.batcher.predicted_wait() == 0
    assert sum(client.function.metrics.requests.values()) == len(jobs)


@pytest.mark.parametrize(
    "change",
    [
        'result.headers["X"] = "a\\r\\nSet-Cookie: b=c"',
        'result.headers["X\\r\\nY"] = "a"',
        'result.status = "200 OK\\r\\nX: y"',
        'result.body = "text"',
    ],
)
def test_a_reply_that_was_changed_into_one_that_cannot_be_sent_is_not(
    serve: Callable[..., Client], change: str
) -> None:
    client = serve(f"""
        from mlfunc_runtime import Reply
        class P:
            def predict(self, n: int): return Reply(b"abc", headers={{"X": "y"}})
            def after_predict(self, result): {change}
    """)
    reply = client.post({"n": 1})
    assert (reply.status, "X" in reply.headers) == (500, False)
