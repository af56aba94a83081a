"""Events through the pipeline: what comes back is an event or nothing, never bare JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Answer, Client

    Serve = Callable[..., Client]

UPPER = """
    ran = []

    class P:
        def predict(self, text: str, mark: str = "!") -> dict:
            ran.append(text)
            return {"text": text.upper() + mark}
"""
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def envelope(number: int, data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/test", "type": "t", "data": data}


def as_sdk_event(reply: Answer) -> Any:
    """The SDK is the judge of what we send."""
    return from_http_event(HTTPMessage(dict(reply.headers), reply.body), JSONFormat())


def test_the_reply_to_an_event_is_an_event_of_the_declared_type(serve: Serve) -> None:
    client = serve(UPPER, events={"reply_type": "com.example.upper"})
    reply = client.event({"text": "a"}, subject="s/1", traceparent="00-ab-cd-01")
    event = as_sdk_event(reply)
    assert reply.status == 200
    assert event.get_data() == {"text": "A!"}
    assert (event.get_type(), event.get_source()) == ("com.example.upper", "/mlfunc/sample")
    assert (event.get_subject(), event.get_extension("traceparent")) == ("s/1", "00-ab-cd-01")


def test_an_event_delivered_again_is_answered_with_the_same_id(serve: Serve) -> None:
    client = serve(UPPER)
    first, again, other = (client.event({"text": "a"}, id=number) for number in ("7", "7", "8"))
    assert first.headers["ce-id"] == again.headers["ce-id"] != other.headers["ce-id"]


def test_a_structured_event_is_an_event(serve: Serve) -> None:
    client = serve(UPPER)
    reply = client.post(envelope(1, {"text": "a"}), content_type=STRUCTURED)
    assert (reply.json(), reply.headers["ce-type"]) == ({"text": "A!"}, "dev.mlfunc.sample.result")


def test_a_caller_may_ask_for_a_structured_reply(serve: Serve) -> None:
    reply = serve(UPPER).post(
        envelope(1, {"text": "a"}), content_type=STRUCTURED, headers={"Accept": STRUCTURED}
    )
    assert reply.headers["Content-Type"] == STRUCTURED
    assert reply.json()["data"] == {"text": "A!"}


def test_a_batch_is_answered_with_a_batch_in_its_order(serve: Serve) -> None:
    client = serve(UPPER)
    batch = [envelope(n, {"text": text}) for n, text in enumerate("abc")]
    reply = client.post(batch, content_type=BATCH)
    assert reply.headers["Content-Type"] == BATCH
    assert [event["data"]["text"] for event in reply.json()] == ["A!", "B!", "C!"]


def test_a_batch_without_results_is_an_empty_204(serve: Serve) -> None:
    assert serve(UPPER).post([], content_type=BATCH).status == 204
    client = serve("class P:\n    def predict(self, n: int) -> None: return None")
    assert client.post([envelope(1, {"n": 1})], content_type=BATCH).status == 204


def test_a_batch_of_more_events_than_may_wait_is_refused(serve: Serve) -> None:
    client = serve(UPPER, serve={"concurrency": 1})
    batch = [envelope(n, {"text": "a"}) for n in range(11)]
    assert client.post(batch, content_type=BATCH).status == 413
    assert client.post(batch[:10], content_type=BATCH).status == 200


def test_each_event_of_a_batch_takes_a_place(serve: Serve) -> None:
    client = serve(
        """
        from gevent.event import Event
        gate = Event()
        class P:
            def before_predict(self, n: int): gate.wait()
            def predict(self, n: int) -> int: return n
        """,
        serve={"concurrency": 2},
    )
    jobs = []
    for first in (0, 20, 40):
        batch = [envelope(first + n, {"n": n}) for n in range(10)]
        jobs.append(gevent.spawn(client.post, batch, content_type=BATCH))
        gevent.sleep(0.05)
    assert jobs[2].get(timeout=10).status == 503
    assert client.post({"n": 0}).status == 503
    sys.modules["predictor"].gate.set()
    assert [job.get(timeout=10).status for job in jobs] == [200, 200, 503]
    assert client.function.metrics.refused["full"] == 2
    batch = [envelope(100 + n, {"n": n}) for n in range(20)]
    assert client.post(batch, content_type=BATCH).status == 200


def test_a_batch_that_is_out_of_time_leaves_nothing_behind(serve: Serve) -> None:
    client = serve(
        """
        import time
        ran = []
        class P:
            def predict(self, n: int) -> int:
                ran.append(n)
                time.sleep(0.3 if n < 9 else 0)
                return n
        """,
        serve={"timeout": "200ms"},
    )
    batch = [envelope(n, {"n": n}) for n in range(6)]
    assert client.post(batch, content_type=BATCH).status == 504
    gevent.sleep(0.3)
    assert client.post({"n": 9}).json() == 9
    assert sys.modules["predictor"].ran == [0, 9]


def test_logs_of_a_batch_carry_its_request_id(serve: Serve) -> None:
    client = serve("""
        from mlfunc_runtime import logs
        class P:
            def before_predict(self, request): return logs.request_id.get()
            def predict(self, seen: str) -> str: return seen
    """)
    reply = client.post([envelope(1, {})], content_type=BATCH, headers={"X-Request-Id": "r-5"})
    assert reply.json()[0]["data"] == "r-5"


def test_an_event_without_data_has_no_bytes_and_binary_data_is_untouched(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, raw: bytes) -> bytes: return raw + b'|'")
    assert client.event(None).body == b"|"
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "t"}
    sent = b'{"a":  1.0}'
    reply = client.post(sent, headers=headers, content_type="application/json")
    assert reply.body == sent + b"|"


def test_one_bad_event_fails_its_batch_before_anything_runs(serve: Serve) -> None:
    client = serve(UPPER)
    batch = [envelope(1, {"text": "a"}), {"specversion": "1.0"}]
    reply = client.post(batch, content_type=BATCH)
    assert (reply.status, reply.json()["field"]) == (400, "[1].id")
    assert sys.modules["predictor"].ran == []


def test_nothing_returned_is_an_empty_204(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, text: str) -> None: return None")
    reply = client.event({"text": "a"})
    assert (reply.status, reply.body) == (204, b"")
    assert client.post({"text": "a"}).json() is None


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ("text: str", {"text": "a"}, "a"),
        ("data", {"any": [1]}, {"any": [1]}),
        ("data: dict", {"any": 1}, {"any": 1}),
        ("n: int = 3", None, 3),
    ],
)
def test_data_becomes_the_parameters(serve: Serve, source: str, data: Any, expected: Any) -> None:
    name = source.partition(":")[0]
    client = serve(f"class P:\n    def predict(self, {source}): return {name}")
    reply = client.event(data)
    assert reply.json() == expected


def test_text_and_bytes_of_an_event_reach_predict(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, image: bytes) -> bytes: return image[::-1]")
    reply = client.event(b"abc")
    assert (reply.body, reply.headers["Content-Type"]) == (b"cba", "application/octet-stream")
    client = serve("class P:\n    def predict(self, text: str) -> str: return text.upper()")
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "t"}
    assert client.post(b"abc", headers=headers, content_type="text/plain").json() == "ABC"


def test_data_that_does_not_fit_is_a_400_that_no_broker_repeats(serve: Serve) -> None:
    reply = serve(UPPER).event({"text": 3})
    assert (reply.status, reply.json()["field"]) == (400, "text")


def test_a_failing_predictor_is_a_500_that_a_broker_repeats(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, text: str): raise ValueError")
    assert client.event({"text": "a"}).status == 500
    assert client.post([envelope(1, {"text": "a"})], content_type=BATCH).status == 500


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "gevent.GreenletExit"])
def test_whatever_an_event_of_a_batch_ends_with_the_batch_is_answered(
    serve: Serve, raised: str
) -> None:
    client = serve(f"""
        import gevent
        class P:
            def before_predict(self, n: int): raise {raised}
            def predict(self, n: int) -> int: return n
    """)
    assert client.post([envelope(1, {"n": 1})] * 2, content_type=BATCH).status == 500
    assert client.function.in_flight == 0


EVENTS_ONLY = """
    from cloudevents.core.v1.event import CloudEvent

    class P:
        example = {"n": 1}
        def predict(self, event: CloudEvent) -> CloudEvent:
            attributes = {"type": "mine", "source": "/mine", "id": "i", "specversion": "1.0"}
            return CloudEvent(attributes, {"was": event.get_type(), "data": event.get_data()})
"""


def test_a_predictor_may_answer_with_an_event_of_its_own(serve: Serve) -> None:
    reply = serve(EVENTS_ONLY).event({"n": 2}, type="t")
    assert (reply.headers["ce-type"], reply.json()) == ("mine", {"was": "t", "data": {"n": 2}})


def test_a_predictor_of_events_refuses_what_is_none(serve: Serve) -> None:
    reply = serve(EVENTS_ONLY).post({"n": 2})
    assert (reply.status, reply.json()["field"]) == (400, "ce-specversion")


def test_hooks_see_the_event(serve: Serve) -> None:
    client = serve("""
        class P:
            def before_predict(self, event): return {"text": event.get_type()}
            def predict(self, text: str, mark: str = "?") -> str: return text + mark
            def after_predict(self, result, event): return [result, event.get_source()]
    """)
    assert client.event({"whatever": 1}, type="t").json() == ["t?", "/test"]


def test_after_response_runs_for_each_event_of_a_batch(serve: Serve) -> None:
    client = serve("""
        done = []
        class P:
            def predict(self, n: int) -> int: return n
            def after_response(self, result, event): done.append((result, event.get_id()))
    """)
    client.post([envelope(n, {"n": n}) for n in range(3)], content_type=BATCH)
    client.drain()
    assert sorted(sys.modules["predictor"].done) == [(0, "0"), (1, "1"), (2, "2")]


def test_a_reply_object_cannot_answer_an_event(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve("""
        from mlfunc_runtime import Reply
        class P:
            def predict(self, n: int): return Reply(b"x")
    """)
    assert client.event({"n": 1}).status == 500
    assert "an event cannot be answered with a Reply" in caplog.text


def test_json_that_looks_like_an_event_is_a_plain_body(serve: Serve) -> None:
    client = serve("class P:\n    def predict(self, data): return sorted(data)")
    assert client.post(envelope(1, {})).json() == ["data", "id", "source", "specversion", "type"]
    assert json.loads(client.post(envelope(1, {})).body)


def _told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, Any]]:
    """Level, message, and the event that it is said of."""
    return [
        (each.levelname, each.getMessage(), each.__dict__["fields"].get("event"))
        for each in caplog.records
        if each.levelname in ("WARNING", "ERROR")
    ]


def test_a_refused_event_leaves_a_line_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(UPPER)
    assert client.event({"txet": "a"}, id="7").status == 400
    ((level, told, event),) = _told(caplog)
    assert (level, event) == ("WARNING", "7")
    assert told.startswith("event refused with 400: ")
    assert "text" in told


def test_an_event_that_cannot_be_decoded_is_called_as_its_headers_have_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(UPPER)
    assert client.event({"text": "a"}, id="8", specversion="9").status == 400
    (((_, told, event)),) = _told(caplog)
    assert ("specversion" in told, event) == (True, "8")


def test_a_request_that_is_no_event_is_refused_in_silence(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has sent it has the reply."""
    assert serve(UPPER).post({"txet": "a"}).status == 400
    assert _told(caplog) == []


def test_what_failed_says_of_which_event(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve("class P:\n    def predict(self, n: int) -> int: return 1 // n")
    assert client.event({"n": 0}, id="9").status == 500
    ((level, told, event),) = _told(caplog)
    assert (level, event) == ("ERROR", "9")
    assert told.startswith("ZeroDivisionError")
