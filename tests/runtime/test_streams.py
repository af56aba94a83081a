"""Generators: items come as they are made, and stop being made when nobody reads."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime import replies
from mlfunc_runtime.executor import Mailbox, Slot
from mlfunc_runtime.messages import Reply, Request, StreamBody
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Serve = Callable[..., Client]
    Start = Callable[..., Process]

COUNT = """
    import time
    made, closed = [], []

    class P:
        def predict(self, n: int, pause: float = 0.0):
            try:
                for i in range(n):
                    made.append(i)
                    yield {"i": i}
                    time.sleep(pause)
            finally:
                closed.append(n)

        def after_response(self, result):
            kept.append(result)

    kept = []
"""


def test_items_are_server_sent_events_with_an_end_marker(serve: Serve) -> None:
    reply = serve(COUNT).post({"n": 2})
    assert reply.headers["Content-Type"] == "text/event-stream"
    expected = b'data: {"i":0}\n\ndata: {"i":1}\n\nevent: end\ndata: {}\n\n'
    assert reply.body == expected


def test_no_items_are_a_stream_that_ends(serve: Serve) -> None:
    assert serve(COUNT).post({"n": 0}).events() == []


def test_a_client_that_asks_for_json_gets_one_array(serve: Serve) -> None:
    reply = serve(COUNT).post({"n": 2}, headers={"Accept": "application/json"})
    assert reply.json() == [{"i": 0}, {"i": 1}]


def test_an_event_is_answered_with_all_items_at_once(serve: Serve) -> None:
    reply = serve(COUNT).event({"n": 2})
    assert (reply.json(), reply.headers["ce-type"]) == (
        [{"i": 0}, {"i": 1}],
        "dev.mlfunc.sample.result",
    )


def test_after_response_gets_the_list_of_items(serve: Serve) -> None:
    client = serve(COUNT)
    client.post({"n": 3})
    client.drain()
    assert sys.modules["predictor"].kept == [[{"i": 0}, {"i": 1}, {"i": 2}]]


def test_bytes_go_out_as_they_are(serve: Serve) -> None:
    client = serve("""
        class P:
            def predict(self, n: int):
                for i in range(n): yield bytes([i])
    """)
    reply = client.post({"n": 3})
    assert (reply.body, reply.headers["Content-Type"]) == (b"\0\1\2", "application/octet-stream")


def test_a_failure_before_the_first_item_is_an_ordinary_error(serve: Serve) -> None:
    client = serve("""
        from mlfunc_runtime import Problem

        class P:
            def predict(self, n: int):
                raise Problem(422, "no")
                yield
    """)
    assert client.post({"n": 1}).status == 422


def test_a_failure_in_the_middle_ends_the_stream_with_a_problem(serve: Serve) -> None:
    client = serve("""
        class P:
            def predict(self, n: int):
                yield 1
                raise ValueError("secret")
    """)
    events = client.post({"n": 1}, headers={"X-Request-Id": "r7"}).body.decode().split("\n\n")
    assert events[0] == "data: 1"
    name, data = events[1].split("\n")
    assert name == "event: error"
    problem = json.loads(data.removeprefix("data: "))
    assert (problem["status"], problem["request_id"]) == (500, "r7")
    assert "secret" not in data


@pytest.mark.parametrize("raised", ["SystemExit(1)", "KeyboardInterrupt()", "GeneratorExit()"])
def test_a_generator_that_raises_what_would_end_a_process_ends_its_stream_alone(
    start: Start, raised: str
) -> None:
    process = start(f"""
        class P:
            def predict(self, n: int):
                yield {{}}
                if n:
                    raise {raised}
    """)
    broken = process.call(b'{"n": 1}', content_type="application/json").read()
    assert b"event: error" in broken
    whole = process.call(b'{"n": 0}', content_type="application/json").read()
    assert whole.endswith(b"event: end\ndata: {}\n\n")


def test_a_generator_returned_by_a_plain_predict_streams_too(serve: Serve) -> None:
    client = serve("""
        class P:
            def predict(self, n: int): return (i for i in range(n))
    """)
    assert client.post({"n": 2}).events() == [0, 1]


def test_the_generator_stays_a_bounded_number_of_items_ahead(serve: Serve) -> None:
    serve(COUNT)
    made: list[int] = []

    def source() -> Generator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    slot, mailbox = Slot("test"), Mailbox()
    stream = Stream(source(), mailbox)
    slot.run(stream.pump)
    items = iter(stream)
    assert next(items) == 0
    gevent.sleep(0.1)
    assert len(made) <= 18
    assert list(items) == list(range(1, 1000))
    slot.close()
    mailbox.close()


def test_a_client_that_leaves_ends_the_generator_and_frees_the_slot(start: Start) -> None:
    process = start("""
        import time

        class P:
            def predict(self, n: int):
                try:
                    for i in range(n):
                        yield "x" * 10000
                        time.sleep(0.01)
                finally:
                    print("closed", flush=True)
    """)
    reply = process.call(b'{"n": 100000}', content_type="application/json")
    reply.read(10)
    left = time.monotonic()
    reply.close()
    process.connections[-1].close()
    assert process.call(b'{"n": 0}', content_type="application/json").status == 200
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "closed\n"
    assert time.monotonic() - left < 30


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
def test_items_arrive_while_the_generator_works(start: Start, accept: str, tmp_path: Path) -> None:
    process = start("""
        import time
        from pathlib import Path
        class P:
            def predict(self, n: int):
                for i in range(n):
                    yield i
                    while not Path(f"seen-{i}").exists(): time.sleep(0.01)
    """)
    reply = process.call(b'{"n": 3}', content_type="application/json", accept=accept)
    arrived = []
    while line := reply.readline():
        if line.startswith(b"data") and line != b"data: {}\n":
            arrived.append(int(line[6:]))
            (tmp_path / f"seen-{arrived[-1]}").touch()  # the next is made when this one is here
    assert arrived == [0, 1, 2]


def test_a_stream_that_is_out_of_time_frees_its_slot(serve: Serve) -> None:
    client = serve(
        """
        import time
        class P:
            def predict(self, pause: float):
                time.sleep(pause)
                for i in range(50): yield i
        """,
        serve={"timeout": "200ms"},
    )
    assert client.post({"pause": 0.4}).status == 504
    gevent.sleep(0.4)
    assert client.post({"pause": 0}).events() == list(range(50))


@pytest.mark.parametrize("as_event", [True, False])
def test_items_that_are_collected_too_slowly_free_the_slot(serve: Serve, as_event: bool) -> None:
    client = serve(
        """
        import time
        class P:
            def predict(self, pause: float):
                for i in range(50):
                    yield i
                    time.sleep(pause)
        """,
        serve={"timeout": "200ms"},
    )
    slow = {"pause": 0.05}
    headers = {"Accept": "application/json"}
    reply = client.event(slow) if as_event else client.post(slow, headers=headers)
    assert reply.status == 504
    gevent.sleep(0.2)
    assert client.post({"pause": 0}).events() == list(range(50))


def test_bytes_are_bytes_whatever_is_asked_for(serve: Serve) -> None:
    client = serve("""
        from collections.abc import Iterator
        class P:
            def predict(self, n: int) -> Iterator[bytes]:
                for _ in range(n): yield b"x"
    """)
    for count in (0, 2):
        reply = client.post({"n": count}, headers={"Accept": "application/json, text/plain, */*"})
        assert reply.body == b"x" * count
        assert reply.headers["Content-Type"] == "application/octet-stream"


def test_an_iterator_streams_where_the_annotation_says_so(serve: Serve) -> None:
    stream = "from collections.abc import Iterator\nclass P:\n    def predict(self, n: int) -> Iterator[int]: return iter(range(n))"
    assert serve(stream).post({"n": 2}).events() == [0, 1]
    plain = "class P:\n    def predict(self, n: int): return map(str, range(n))"
    assert serve(plain).post({"n": 2}).json() == ["0", "1"]


def test_a_generator_that_raises_after_its_reader_left_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve("""
        class P:
            def predict(self, n: int):
                try:
                    yield 1
                    while True: yield 2
                finally:
                    raise ValueError("clean-up")
    """)
    request = Request(b'{"n": 1}', {"content-type": "application/json"})
    reply = client.function.handle(request)
    assert not isinstance(reply.body, bytes)
    reply.body.close()
    client.function.sent(request, reply)
    gevent.sleep(0.1)
    assert "after its reader had left" in caplog.text


def test_a_bytes_stream_that_breaks_off_is_a_broken_transfer(start: Start) -> None:
    process = start("""
        class P:
            def predict(self, n: int):
                yield b"x"
                raise ValueError("broken")
    """)
    sent = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
    )
    answer = process.raw(sent + b'{"n": 1}')
    assert answer.endswith(b"1\r\nx\r\n")  # no last chunk
    process.stop()
    (error,) = [line for line in process.lines if line["level"] == "error"]
    assert "ValueError: broken" in error["message"]
    assert "request_id" in error
    assert process.others == []


STALL = """
    import threading
    go, seen = threading.Event(), []

    class P:
        def predict(self, request, n: int, kind: str = "text"):
            yield "a" if kind == "text" else b"a"
            if n == 0: return
            go.wait(10)
            seen.append(request.cancelled)
            yield "too late"
"""


def body(reply: Reply) -> Iterator[bytes]:
    assert isinstance(reply.body, StreamBody)
    return iter(reply.body)


def post(client: Client, data: dict[str, object], **headers: str) -> tuple[Request, Reply]:
    """The reply as it is before it is sent."""
    request = Request(json.dumps(data).encode(), {"content-type": "application/json", **headers})
    return request, client.function.handle(request)


def test_a_generator_that_brings_nothing_for_too_long_ends_its_stream_with_504(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(STALL, serve={"chunk_timeout": "100ms"})
    first, second = client.post({"n": 1}).body.decode().split("\n\n")[:2]
    name, data = second.split("\n")
    assert (first, name) == ('data: "a"', "event: error")
    problem = json.loads(data.removeprefix("data: "))
    assert (problem["status"], "0.1 s" in problem["detail"]) == (504, True)
    sys.modules["predictor"].go.set()
    assert client.post({"n": 0}).events() == ["a"]  # the slot is free again
    assert sys.modules["predictor"].seen == [True]  # request.cancelled
    assert "is held until the generator comes back" in caplog.text
    assert "came back" in caplog.text


def test_a_stream_of_bytes_that_stalls_is_a_broken_transfer(serve: Serve) -> None:
    client = serve(STALL, serve={"chunk_timeout": "100ms"})
    request, reply = post(client, {"n": 1, "kind": "bytes"})
    chunks = body(reply)
    assert next(chunks) == b"a"
    with pytest.raises(BrokenPipeError):
        next(chunks)
    assert isinstance(reply.body, StreamBody)
    reply.body.close()
    sys.modules["predictor"].go.set()
    client.function.sent(request, reply)


def test_a_stall_within_a_collected_stream_is_an_ordinary_504(serve: Serve) -> None:
    client = serve(STALL, serve={"chunk_timeout": "100ms"})
    assert client.post({"n": 1}, headers={"Accept": "application/json"}).status == 504
    sys.modules["predictor"].go.set()


def test_the_time_between_items_does_not_bound_the_first_one(serve: Serve) -> None:
    client = serve(
        """
        import time
        class P:
            def predict(self, n: int):
                time.sleep(0.4)
                yield n
        """,
        serve={"chunk_timeout": "100ms"},
    )
    assert client.post({"n": 7}).events() == [7]


def test_a_reader_that_is_slower_than_the_limit_between_items_gets_all_of_them(
    serve: Serve,
) -> None:
    client = serve(COUNT, serve={"chunk_timeout": "50ms"})
    request, reply = post(client, {"n": 40})
    pieces = []
    for piece in body(reply):
        pieces.append(piece)
        gevent.sleep(0.1)
    client.function.sent(request, reply)
    assert b"".join(pieces).count(b"data: ") == 41
    assert b"event: end" in pieces[-1]


def test_items_that_are_ready_together_are_one_piece() -> None:
    mailbox = Mailbox()
    stream = Stream(iter(range(3)), mailbox)
    stream.pump()
    end = b"event: end\ndata: {}\n\n"
    assert list(replies._events(stream.turns(), Request())) == [
        b"data: 0\n\ndata: 1\n\ndata: 2\n\n",
        end,
    ]
    mailbox.close()


def test_an_item_that_cannot_be_sent_does_not_take_those_before_it_along() -> None:
    turns: list[list[object]] = [[1, 2, object(), 4]]
    pieces = list(replies._events(iter(turns), Request()))
    assert pieces[0] == b"data: 1\n\ndata: 2\n\n"
    assert pieces[1].startswith(b"event: error\n")


def test_no_piece_is_empty_for_that_would_end_a_chunked_body() -> None:
    assert list(replies._chunks(iter([[b""], [b"a", b""]]))) == [b"a"]


def test_a_stream_that_was_read_to_its_end_was_not_cancelled(serve: Serve) -> None:
    client = serve(COUNT)
    request, reply = post(client, {"n": 2})
    list(body(reply))
    assert isinstance(reply.body, StreamBody)
    reply.body.close()
    client.function.sent(request, reply)
    assert not request.cancelled


def test_a_request_is_cancelled_as_soon_as_its_stream_is_closed(serve: Serve) -> None:
    client = serve(STALL)
    request, reply = post(client, {"n": 1})
    assert isinstance(reply.body, StreamBody)
    reply.body.close()
    assert request.cancelled
    client.function.sent(request, reply)
    sys.modules["predictor"].go.set()
    assert client.post({"n": 0}).events() == ["a"]
    assert sys.modules["predictor"].seen == [True]


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 300))
def test_whatever_the_pace_every_item_arrives_once_and_in_order(
    pauses: list[int], count: int
) -> None:
    slot, mailbox = Slot("test"), Mailbox()
    stream = Stream(iter(range(count)), mailbox)
    slot.run(stream.pump)
    turns, read = stream.turns(5.0), []
    for pause in pauses:
        read += next(turns, [])
        gevent.sleep(pause / 20_000)
    for items in turns:
        assert len(items) <= 17
        read += items
    assert read == list(range(count))
    slot.close()
    mailbox.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("yield time.sleep(0.4)", 504),
        ("raise ValueError\n                yield", 500),
        ("yield object()", 500),
        ("return object()", 500),
    ],
)
def test_a_request_that_failed_after_predict_has_no_hook(
    serve: Serve, body: str, status: int
) -> None:
    client = serve(f"""
        import time
        after = []
        class P:
            def predict(self, n: int):
                {body}
            def after_response(self, result): after.append(result)
    """)
    headers = {"Accept": "application/json", "X-Request-Timeout": "200ms"}
    assert client.post({"n": 1}, headers=headers).status == status
    client.drain()
    assert sys.modules["predictor"].after == []
