"""An event that is delivered again is predicted once, whatever is in between."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.redelivery import Redelivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Answer, Client

    from .conftest import Process

    Serve = Callable[..., Client]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
COUNTED = """
    from gevent.event import Event
    gate, ran, after = Event(), [], []
    gate.set()

    class P:
        def before_predict(self, n: int):
            ran.append(n)
            gate.wait()
            if n < 0 and ran.count(n) == 1: raise ValueError
            return n
        def predict(self, n: int) -> dict: return {"n": n}
        def after_response(self, result): after.append(result["n"])
"""


class Refused(Exception):
    pass


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Deliveries of a few events; ends, good or bad, of the one that runs; senders that leave."""
    step = st.tuples(
        st.sampled_from(["deliver", "deliver", "finish", "fail", "leave"]), st.integers(0, 3)
    )
    return draw(st.lists(step, max_size=40))


class Senders:
    """Deliver events to a Redelivery whose predictions end when they are told to, and check it."""

    def __init__(self, limit: int) -> None:
        self.redelivery = Redelivery(limit, Counter())
        self.jobs: list[tuple[int, Any]] = []
        self.successes: Counter[int] = Counter()
        self._ends: dict[int, tuple[Event, list[bool]]] = {}

    def take(self, step: str, key: int) -> None:
        if step == "deliver":
            self.jobs.append((key, gevent.spawn(self._deliver, key)))
        elif step == "leave":
            mine = [job for k, job in self.jobs if k == key and not job.dead]
            gevent.killall(mine[:1], block=False)
        elif key in self._ends:
            self._end(key, good=step == "finish")

    def finish(self) -> None:
        while any(not job.dead for _, job in self.jobs):
            for key in self._ends:
                self._end(key, good=True)
            gevent.sleep(0)

    def _end(self, key: int, *, good: bool) -> None:
        event, outcome = self._ends[key]
        outcome.append(good)
        event.set()

    def _deliver(self, key: int) -> Any:
        try:
            return self.redelivery.once(("/s", str(key)), lambda: self._run(key))
        except Refused:
            return None

    def _run(self, key: int) -> Any:
        assert key not in self._ends  # never two at once
        event, outcome = self._ends[key] = (Event(), [])
        try:
            event.wait()
        finally:
            del self._ends[key]
        if not outcome[0]:
            raise Refused
        self.successes[key] += 1
        return [], str(key).encode()


@given(histories(), st.integers(1, 5), st.booleans())
def test_at_most_one_runs_and_success_is_shared(
    history: list[tuple[str, int]], limit: int, turn_between: bool
) -> None:
    senders = Senders(limit)
    for step, key in history:
        senders.take(step, key)
        if turn_between:
            gevent.sleep(0)
        assert len(senders.redelivery) <= limit
    senders.finish()
    answers = [(key, job.value) for key, job in senders.jobs if isinstance(job.value, tuple)]
    assert all(body == str(key).encode() for key, (_, body) in answers)
    assert {key for key, _ in answers} == set(senders.successes)
    if limit > 3:  # none is forgotten
        assert max(senders.successes.values(), default=0) <= 1
    assert senders.redelivery._running == {}


def test_the_least_recently_asked_for_is_forgotten_first_and_bytes_are_bounded() -> None:
    redelivery = Redelivery(10, Counter(), limit_bytes=10_000)
    ran: list[str] = []

    def ask(key: str, size: int = 2000) -> None:
        def run() -> Any:
            ran.append(key)
            return [], b"x" * size

        redelivery.once(("/s", key), run)

    for key in ("a", "b", "c", "a", "d", "a", "b"):
        ask(key)
    assert ran == ["a", "b", "c", "d", "b"]
    assert redelivery.bytes <= 10_000
    ask("huge", 20_000)
    assert redelivery.bytes == len(redelivery) == 0


def event(n: int) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(n), "source": "/test", "type": "t", "data": {"n": n}}


def deliver(client: Client, how: str, n: int) -> Answer:
    if how == "binary":
        return client.event({"n": n}, id=str(n))
    if how == "structured":
        return client.post(event(n), content_type=STRUCTURED, headers={"Accept": STRUCTURED})
    return client.post([event(n)], content_type=BATCH)


def told(reply: Answer, how: str) -> Any:
    """What the reply says, as the SDK reads it."""
    if how == "batch":
        (told,) = reply.json()
        return told["id"], told["type"], told["time"], told["data"]
    found = from_http_event(HTTPMessage(dict(reply.headers), reply.body), JSONFormat())
    moment = found.get_time().isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]
    return found.get_id(), found.get_type(), moment, found.get_data()


@pytest.mark.parametrize("first", ["binary", "structured", "batch"])
@pytest.mark.parametrize("second", ["binary", "structured", "batch"])
def test_a_redelivered_event_gets_the_remembered_reply(
    serve: Serve, first: str, second: str
) -> None:
    client = serve(COUNTED)
    replies = [told(deliver(client, how, 7), how) for how in (first, second)]
    assert replies[0] == replies[1]
    client.drain()
    predictor = sys.modules["predictor"]
    assert (predictor.ran, predictor.after) == ([7], [7])
    assert client.function.metrics.redelivered == {"joined": 0, "remembered": 1}


@pytest.mark.parametrize("how", ["binary", "structured", "batch"])
def test_a_redelivered_event_joins_the_prediction_that_runs(serve: Serve, how: str) -> None:
    client = serve(COUNTED)
    predictor = sys.modules["predictor"]
    predictor.gate.clear()
    jobs = [gevent.spawn(deliver, client, how, 7) for _ in range(3)]
    gevent.sleep(0.05)
    predictor.gate.set()
    gevent.joinall(jobs, raise_error=True)
    assert len({str(told(job.value, how)) for job in jobs}) == 1
    client.drain()
    assert (predictor.ran, predictor.after) == ([7], [7])
    assert client.function.metrics.redelivered == {"joined": 2, "remembered": 0}


@pytest.mark.parametrize("how", ["binary", "structured", "batch"])
def test_an_event_that_failed_runs_again(serve: Serve, how: str) -> None:
    client = serve(COUNTED)
    assert deliver(client, how, -7).status == 500
    assert deliver(client, how, -7).status == 200
    assert deliver(client, how, -7).status == 200
    client.drain()
    assert sys.modules["predictor"].ran == [-7, -7]
    assert sys.modules["predictor"].after == [-7]


def test_a_batch_that_comes_again_runs_only_what_failed_in_it(serve: Serve) -> None:
    client = serve(COUNTED)
    batch = [event(1), event(-2), event(3)]
    assert client.post(batch, content_type=BATCH).status == 500
    reply = client.post(batch, content_type=BATCH)
    assert [one["data"]["n"] for one in reply.json()] == [1, -2, 3]
    client.drain()
    predictor = sys.modules["predictor"]
    assert predictor.ran == [1, -2, 3, -2]
    assert sorted(predictor.after) == [-2, 1, 3]


def test_who_joined_a_delivery_whose_sender_had_no_more_time_runs_it_itself(serve: Serve) -> None:
    client = serve(COUNTED, serve={"timeout": "300ms"})
    predictor = sys.modules["predictor"]
    predictor.gate.clear()
    first = gevent.spawn(deliver, client, "binary", 7)
    gevent.sleep(0.2)
    second = gevent.spawn(deliver, client, "binary", 7)
    first.join()
    predictor.gate.set()
    assert (first.value.status, second.get().status) == (504, 200)
    assert predictor.ran == [7, 7]


def test_a_result_that_cannot_be_sent_is_not_remembered_and_runs_no_hook(serve: Serve) -> None:
    client = serve("""
        ran, after = [], []
        class P:
            def predict(self, n: int):
                ran.append(n)
                return object() if len(ran) == 1 else n
            def after_response(self, result): after.append(result)
    """)
    assert [deliver(client, "binary", 7).status for _ in range(2)] == [500, 200]
    client.drain()
    assert sys.modules["predictor"].after == [7]


def test_an_event_whose_hook_was_lost_runs_again(serve: Serve) -> None:
    client = serve("""
        ran, after = [], []
        class P:
            def predict(self, n: int) -> int:
                ran.append(n)
                return n
            def after_response(self, result):
                if len(ran) == 1: raise ValueError
                after.append(result)
    """)
    for _ in range(3):
        assert deliver(client, "binary", 7).status == 200
        client.drain()
    predictor = sys.modules["predictor"]
    assert (predictor.ran, predictor.after) == ([7, 7], [7])


def test_nothing_returned_is_remembered_too(serve: Serve) -> None:
    client = serve("""
        ran = []
        class P:
            def predict(self, n: int) -> None: ran.append(n)
    """)
    assert [deliver(client, "binary", 7).status for _ in range(2)] == [204, 204]
    assert sys.modules["predictor"].ran == [7]


def test_with_remember_0_every_delivery_runs(serve: Serve) -> None:
    client = serve(COUNTED, events={"remember": 0})
    assert [deliver(client, "binary", 7).status for _ in range(2)] == [200, 200]
    assert sys.modules["predictor"].ran == [7, 7]


SLOW = """
    import time
    class P:
        def predict(self, n: int, request):
            print("began", flush=True)
            {body}
        def after_response(self, result): print("after", result, flush=True)
"""
ITEMS = "return self.items(n)\n        def items(self, n):\n            for i in range(n):\n                time.sleep(0.05)\n                yield i"
EARLY = "for i in range(n):\n                time.sleep(0.05)\n                if request.cancelled: return None\n            return list(range(n))"


@pytest.mark.parametrize("body", [ITEMS, EARLY])
@pytest.mark.parametrize("how", ["binary", "batch"])
def test_what_was_begun_for_a_sender_that_left_is_whole_when_the_event_comes_again(
    start: Callable[..., Process], how: str, body: str
) -> None:
    process = start(SLOW.format(body=body))
    sent = event(20)
    text = json.dumps([sent] if how == "batch" else sent).encode()
    content_type = BATCH if how == "batch" else STRUCTURED
    leaving = socket.create_connection(("127.0.0.1", process.port))
    head = (
        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len(text)}"
    )
    leaving.sendall(head.encode() + b"\r\n\r\n" + text)
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "began\n"
    leaving.close()
    reply = process.call(text, content_type=content_type)
    told = json.loads(reply.read())
    assert (told[0]["data"] if how == "batch" else told) == list(range(20))
    assert process.stop() == 0
    assert process.others == [f"after {list(range(20))}"]
