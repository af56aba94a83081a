"""Dead letters: events that hold what is needed to do the work after all."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from mlfunc_runtime import codec
from mlfunc_runtime.deadletter import letter_id, write
from mlfunc_runtime.messages import Reply, Request
from mlfunc_runtime.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    from .conftest import Process, Sink

    Serve = Callable[..., Client]
    Start = Callable[..., Process]

BATCH = "application/cloudevents-batch+json"
FAILING = """
    class P:
        def predict(self, n: int) -> int: return n * 10
        def after_response(self, result):
            if result: raise ValueError("no")
"""


def failing(serve: Serve, sink: Sink, **document: Any) -> Client:
    return serve(FAILING, {"MLFUNC_DEAD_LETTER": sink.url}, **document)


def wait_until_idle(client: Client) -> None:
    client.drain()
    assert client.function.backlog.size == 0


def test_a_hook_that_failed_for_good_is_sent_with_all_that_it_needs(
    serve: Serve, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    client = failing(serve, sink)
    client.post({"n": 1}, headers={"X-Request-Id": "r1", "Authorization": "secret"})
    client.post({"n": 0})
    wait_until_idle(client)
    (letter,) = sink.letters["/"]
    data = letter.pop("data")
    assert data == {
        "hook": "after_response",
        "reason": "after_response raised ValueError: no",
        "attempts": 1,
        "request": {
            "id": "r1",
            "method": "POST",
            "path": "/",
            "query": "",
            "content_type": "application/json",
            "body": {"n": 1},
        },
        "result": 10,
    }
    event = from_http_event(
        HTTPMessage({"content-type": "application/cloudevents+json"}, codec.encode(letter)),
        JSONFormat(),
    )
    assert (event.get_type(), event.get_source(), event.get_subject()) == (
        "dev.mlfunc.hook.undone",
        "/mlfunc/sample",
        "r1",
    )
    payloads = {
        record.fields.get("payload") for record in caplog.records if hasattr(record, "fields")
    }
    assert letter["id"] in payloads
    assert client.function.metrics.dead_letters == {"sent": 1, "failed": 0}
    assert client.function.metrics.hooks == {"ok": 1, "failed": 1, "undone": 0}


def test_the_letter_of_an_event_holds_the_event_and_has_its_id_again(
    serve: Serve, sink: Sink
) -> None:
    client = failing(serve, sink, events={"remember": 0})
    for _ in range(2):
        client.event({"n": 1}, id="7", source="/s", type="t", subject="who")
    one = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": {"n": 1}}
    client.post([one, one | {"id": "8"}], content_type=BATCH)
    wait_until_idle(client)
    first, again, *batch = sink.letters["/"]
    assert first["data"]["event"]["subject"] == "who"
    assert first["data"]["event"]["data"] == {"n": 1}
    assert first["data"]["result"] == 10
    assert first["id"] == again["id"]
    assert sorted(letter["data"]["event"]["id"] for letter in batch) == ["7", "8"]
    assert len({letter["id"] for letter in sink.letters["/"]}) == 2


@pytest.mark.parametrize(
    ("body", "result", "expected"),
    [
        (b"\xff\x00", b"\x01", {"body_base64": "/wA=", "result_base64": "AQ=="}),
        (b"NaN", Reply(b"x"), {"body_base64": "TmFO", "result_base64": "eA=="}),
        (b'[12345678901234567890123, "\xc3\xa4"]', {1: 2}, {"result": {"1": 2}}),
        (b"", object(), {}),
        (b"1", "\ud800", {"body": 1}),
    ],
)
def test_whatever_the_body_and_the_result_are_a_letter_is_written(
    body: bytes, result: Any, expected: dict[str, Any]
) -> None:
    import json

    work = Work(Request(body), lambda: None, lambda: result)
    text = write(work, "after_response", "odd \ud800 reason", source="/s")
    data = json.loads(text)["data"]
    found = {**data["request"], **data}
    assert {key: found[key] for key in expected} == expected
    assert ("result" in data or "result_base64" in data) == any("result" in key for key in expected)
    if "body_base64" in found:
        assert base64.b64decode(found["body_base64"]) == body
    if body.startswith(b"["):
        assert body in text


def test_ids_differ_by_request_and_by_hook() -> None:
    one, other = Request(request_id="a"), Request(request_id="b")
    ids = {letter_id(request, hook) for request in (one, other) for hook in ("x", "y")}
    assert len(ids) == 4
    assert letter_id(one, "x") == letter_id(Request(request_id="a"), "x")


def test_a_sink_gets_a_second_try(serve: Serve, sink: Sink) -> None:
    sink.statuses += [500]
    client = failing(serve, sink)
    client.post({"n": 1})
    wait_until_idle(client)
    assert [letter["data"]["attempts"] for letter in sink.letters["/"]] == [1, 1]
    assert client.function.metrics.dead_letters == {"sent": 1, "failed": 0}


def test_what_the_sink_does_not_take_is_told_and_counted(
    serve: Serve, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.statuses += [503, 302]
    client = failing(serve, sink)
    client.post({"n": 1}, headers={"X-Request-Id": "r1"})
    wait_until_idle(client)
    told = "after_response is lost, the dead letters did not take it: the sink answered 302"
    (record,) = [record for record in caplog.records if record.getMessage() == told]
    assert record.fields["request_id"] == "r1"  # type: ignore[attr-defined]
    assert client.function.metrics.dead_letters == {"sent": 0, "failed": 1}


def test_a_sink_that_nobody_is_at_holds_up_no_request(serve: Serve, unused_port: int) -> None:
    client = serve(FAILING, {"MLFUNC_DEAD_LETTER": f"http://127.0.0.1:{unused_port}"})
    assert [client.post({"n": n}).json() for n in (1, 2)] == [10, 20]
    wait_until_idle(client)
    assert client.function.metrics.dead_letters == {"sent": 0, "failed": 2}


def test_only_a_few_letters_are_on_their_way_at_once(start: Start, sink: Sink) -> None:
    url = sink.url.replace("127.0.0.1", "localhost") + "/a?b=c"
    process = start(FAILING, {"MLFUNC_DEAD_LETTER": url})
    for _ in range(40):
        process.json(b'{"n": 1}')
    assert process.stop() == 0
    assert len(sink.letters["/a?b=c"]) == 40
    assert sink.most <= 8


def test_a_sink_that_does_not_speak_tls_is_told(start: Start, sink: Sink) -> None:
    process = start(FAILING, {"MLFUNC_DEAD_LETTER": sink.url.replace("http:", "https:")})
    process.json(b'{"n": 1}')
    assert process.stop() == 0
    told = "after_response is lost, the dead letters did not take it: SSLError"
    assert [line["payload"] for line in process.lines if line["message"].startswith(told)] != []


def test_sending_a_letter_does_not_block_the_hub(start: Start) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        process = start(FAILING, {"MLFUNC_DEAD_LETTER": url}, serve={"drain": "1s"})
        assert [process.json(b'{"n": 1}')[0] for _ in range(20)] == [200] * 20
        connections = [deaf.accept()[0] for _ in range(8)]
        assert process.call(path="/health/liveness", method="GET").status == 200
        process.stop()
        for connection in connections:
            connection.close()


def test_a_greenlet_that_is_killed_while_it_sends_is_counted(serve: Serve, sink: Sink) -> None:
    client = failing(serve, sink)
    client.post({"n": 1})
    letters = client.function.backlog._letters
    while not letters._sending:
        gevent.sleep(0)
    gevent.killall(list(letters._sending.values()))
    wait_until_idle(client)
    assert sum(client.function.metrics.dead_letters.values()) == 1
