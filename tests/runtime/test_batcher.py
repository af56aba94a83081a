"""Batches: formed when a slot is free, answered one by one."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import gevent
import pytest

from .isolated import eventually, metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc_runtime.testing import Client

    from .conftest import Process

    Serve = Callable[..., Client]
    Start = Callable[..., Process]

DOUBLE = """
    import time
    sizes = []

    class P:
        def predict(self, n: list[int]) -> list[int]:
            sizes.append(len(n))
            time.sleep(0.05)
            return [2 * value for value in n]
"""


def _batched(size: int) -> dict[str, object]:
    return {"batch": {"max_size": size}}


def test_a_batch_gathers_while_the_slot_is_busy_and_never_exceeds_its_bound(serve: Serve) -> None:
    client = serve(DOUBLE, serve=_batched(8))
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(20)]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [2 * n for n in range(20)]
    sizes = sys.modules["predictor"].sizes
    assert max(sizes) == 8
    assert sum(sizes) == 20
    assert len(sizes) <= 4


def test_switching_batches_on_does_not_change_what_a_client_sends(serve: Serve) -> None:
    client = serve(DOUBLE, serve=_batched(4))
    assert client.post({"n": 3}).json() == 6
    assert client.post({"n": "3"}).json()["field"] == "n"
    assert client.post({"n": [3]}).status == 400


def test_several_parameters_are_columns(serve: Serve) -> None:
    client = serve(
        """
        class P:
            def predict(self, a: list[int], b: list[int] = [10]) -> list[int]:
                return [x + y for x, y in zip(a, b, strict=True)]
        """,
        serve=_batched(4),
    )
    assert client.post({"a": 1, "b": 2}).json() == 3


def test_an_exception_in_the_list_fails_its_own_request_alone(serve: Serve) -> None:
    client = serve(
        """
        import time
        from mlfunc_runtime import Problem

        class P:
            def predict(self, n: list[int]) -> list[int]:
                time.sleep(0.02)
                return [Problem(422, "odd") if value % 2 else value for value in n]
        """,
        serve=_batched(8),
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(6)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200, 422] * 3


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("n[1:]", "predict returned 0 results for a batch of 1"),
        ("n + n", "predict returned 2 results for a batch of 1"),
        ("None", "predict returned NoneType for a batch of 1, not a list of results"),
        (
            "type('Table', (), {'keys': 1, '__len__': lambda _: 1})()",
            "predict returned Table for a batch of 1, not a list of results",
        ),
        ("{'a': 1}", "predict returned dict for a batch of 1, not a list of results"),
        ("'a'", "predict returned str for a batch of 1, not a list of results"),
        ("iter(n)", "predict returned list_iterator for a batch of 1, not a list of results"),
    ],
)
def test_a_result_of_the_wrong_length_is_a_clear_error(
    serve: Serve, caplog: pytest.LogCaptureFixture, returned: str, told: str
) -> None:
    client = serve(
        f"class P:\n    def predict(self, n: list[int]): return {returned}", serve=_batched(4)
    )
    reply = client.post({"n": 1})
    assert reply.status == 500
    assert told in caplog.text
    assert told not in reply.body.decode()
    assert client.post({"n": 1}).status == 500  # the slot goes on


def test_rows_of_an_array_are_results(serve: Serve) -> None:
    client = serve(
        """
        import numpy

        class P:
            def predict(self, n: list[int]): return numpy.outer(n, [1.0, 2.0]).astype("f4")
        """,
        serve=_batched(4),
    )
    assert client.post({"n": 3}).json() == [3.0, 6.0]


def test_events_and_requests_share_batches(serve: Serve) -> None:
    client = serve(DOUBLE, serve=_batched(8))
    jobs = [gevent.spawn(client.post, {"n": 0})]
    gevent.sleep(0.01)
    jobs += [gevent.spawn(client.post, {"n": 1}), gevent.spawn(client.event, {"n": 2})]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [0, 2, 4]
    assert sys.modules["predictor"].sizes == [1, 2]


def test_a_request_whose_hook_forgets_an_argument_fails_alone(serve: Serve) -> None:
    client = serve(
        """
        import time

        class P:
            def before_predict(self, a: int):
                return {"a": a} if a == 9 else {"a": a, "b": 1}
            def predict(self, a: list[int], b: list[int]) -> list[int]:
                time.sleep(0.05)
                return [x + y for x, y in zip(a, b, strict=True)]
        """,
        serve=_batched(8),
    )
    jobs = [gevent.spawn(client.post, {"a": n}) for n in (1, 9, 2, 3)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200, 500, 200, 200]


def test_unchanged_and_changed_inputs_share_a_batch(serve: Serve) -> None:
    client = serve(
        """
        import time

        class P:
            def before_predict(self, request, a: int):
                if a % 2: return {"a": a * 100}
            def predict(self, a: list[int], b: list[int] = 5) -> list[int]:
                time.sleep(0.05)
                return [x + y for x, y in zip(a, b, strict=True)]
        """,
        serve=_batched(8),
    )
    jobs = [gevent.spawn(client.post, {"a": n}) for n in (1, 3, 2, 4)]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [105, 305, 7, 9]


POISON = """
    import time
    from mlfunc_runtime import Problem

    sizes = []

    class P:
        def predict(self, n: list[int]) -> list[int]:
            sizes.append(len(n))
            time.sleep(0.02)
            if 3 in n: raise ERROR
            return n[SLICE]
"""


def _poisoned(error: str = "ValueError", part: str = ":") -> str:
    return POISON.replace("ERROR", error).replace("SLICE", part)


@pytest.mark.parametrize(
    ("error", "status"), [("ValueError", 500), ("Problem(422, 'three')", 422), ("SystemExit", 500)]
)
def test_of_a_batch_that_fails_each_is_tried_once_more_alone(
    serve: Serve, error: str, status: int
) -> None:
    client = serve(_poisoned(error), serve=_batched(8))
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(8)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200] * 3 + [status] + [200] * 4
    sizes = sys.modules["predictor"].sizes
    assert sum(size for size in sizes if size > 1) <= 8
    assert sizes.count(1) <= 8


def test_results_of_the_wrong_length_fail_the_whole_batch_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(_poisoned(part="1:"), serve=_batched(8))
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(10, 14)]
    gevent.joinall(jobs)
    assert {job.value.status for job in jobs} == {500}
    assert sum(sys.modules["predictor"].sizes) == 4
    assert "results for a batch of" in caplog.text


def test_batches_are_made_of_what_is_close_in_size(serve: Serve) -> None:
    client = serve(
        """
        import time
        batches = []

        class P:
            def predict(self, words: list[list[str]]) -> list[int]:
                lengths = list(map(len, words))
                batches.append(lengths)
                time.sleep(0.002 + 0.0002 * len(lengths) * max(lengths))
                return lengths
            def size(self, words): return len(words)
        """,
        serve=_batched(16),
    )
    lengths = [2, 60] * 12
    for _ in range(6):
        jobs = [gevent.spawn(client.post, {"words": ["w"] * length}) for length in lengths]
        gevent.joinall(jobs)
        assert [job.value.json() for job in jobs] == lengths
    batches = sys.modules["predictor"].batches
    assert any(len(batch) > 1 for batch in batches[-6:])
    assert all(len(set(batch)) == 1 for batch in batches[-4:])


def test_arrays_of_different_types_or_ranks_never_share_a_batch(serve: Serve) -> None:
    client = serve(
        """
        import time, numpy
        kinds = []

        class P:
            def before_predict(self, kind: str, rank: int):
                return numpy.zeros((2,) * rank, kind)
            def predict(self, array: list[numpy.ndarray]) -> list[int]:
                time.sleep(0.02)
                kinds.append(len({(each.dtype, each.ndim) for each in array}))
                return [each.ndim for each in array]
        """,
        serve=_batched(16),
    )
    sent = [{"kind": kind, "rank": rank} for kind in ("f4", "i8") for rank in (1, 2)] * 4
    jobs = [gevent.spawn(client.post, each) for each in sent]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [1, 2] * 8
    assert set(sys.modules["predictor"].kinds) == {1}
    assert len(sys.modules["predictor"].kinds) < 16


def test_a_size_that_raises_fails_its_own_request(serve: Serve) -> None:
    client = serve(
        """
        import time

        class P:
            def predict(self, n: list[int]) -> list[int]:
                time.sleep(0.02)
                return n
            def size(self, n): return 1 / n if n < 3 else -n
        """,
        serve=_batched(8),
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in (1, 0, 2, 3)]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200, 500, 200, 500]


def test_a_batch_hears_which_of_its_requests_nobody_waits_for(serve: Serve) -> None:
    client = serve(
        """
        import threading
        seen = []
        left, go = threading.Event(), threading.Event()

        class P:
            def predict(self, n: list[int], request: list) -> list[int]:
                if 0 in n:
                    go.wait(5)
                    return n
                left.wait(5)
                seen.extend(each.cancelled for each in request)
                return n
        """,
        serve=_batched(4),
    )
    predictor = sys.modules["predictor"]
    blocker = gevent.spawn(client.post, {"n": 0})
    gevent.sleep(0.01)
    jobs = [gevent.spawn(client.post, {"n": n}) for n in (1, 2)]
    gevent.sleep(0.01)
    predictor.go.set()
    blocker.join()
    jobs[0].kill()
    predictor.left.set()
    jobs[1].join()
    assert jobs[1].value.json() == 2
    assert predictor.seen == [True, False]


def test_a_request_that_gave_up_leaves_the_queue(serve: Serve) -> None:
    client = serve(
        """
        import time
        class P:
            def predict(self, n: int) -> int:
                time.sleep(1.5)
                return n
        """,
        serve={"timeout": "1s"},
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(5)]
    gevent.joinall(jobs)
    assert {job.value.status for job in jobs} == {504}
    gauges = client.function.metrics.gauges
    assert (gauges["mlfunc_queue"](), gauges["mlfunc_in_flight"]()) == (0, 0)
    assert client.function.metrics.dropped == {"deadline": 4, "cancelled": 0, "stuck": 0}


COLLATE = """
    import threading, time
    collated, began, met, ahead = [], [], [], []
    second = threading.Event()

    class P:
        def collate(self, text: list[str], scale: list[int] = 2):
            if len(collated) == 1: second.set()
            collated.append(threading.current_thread().name)
            if "bad" in text: raise ValueError("bad")
            return {"rows": [len(each) * by for each, by in zip(text, scale, strict=True)]}

        def predict(self, batch, request: list) -> list[int]:
            began.append(threading.current_thread().name)
            met.append(second.wait(5) if WAIT else True)
            ahead.append(len(collated) - len(began))
            met.append(len(request) == len(batch["rows"]))
            return batch["rows"]
"""


def test_the_next_batch_is_collated_while_the_model_runs_and_no_more_than_that(
    serve: Serve,
) -> None:
    client = serve(COLLATE.replace("WAIT", "len(began) == 1"), serve=_batched(2))
    jobs = [gevent.spawn(client.post, {"text": "x" * n, "scale": 3}) for n in range(12)]
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [3 * n for n in range(12)]
    predictor = sys.modules["predictor"]
    assert set(predictor.began) == {"slot-0"}
    assert set(predictor.collated) == {"slot-0-collate"}
    assert 6 <= len(predictor.began) <= 12
    assert all(predictor.met)
    assert max(predictor.ahead) == 1


def test_what_collate_refuses_fails_alone(serve: Serve) -> None:
    client = serve(COLLATE.replace("WAIT", "False"), serve=_batched(8))
    texts = ["a", "bad", "ccc", "dd"]
    jobs = [gevent.spawn(client.post, {"text": text}) for text in texts]
    gevent.joinall(jobs)
    assert [job.value.status for job in jobs] == [200, 500, 200, 200]
    assert jobs[2].value.json() == 6
    assert client.post({"text": 3}).json()["field"] == "text"


def test_a_collated_predict_may_ask_for_events(serve: Serve) -> None:
    client = serve(
        """
        class P:
            def collate(self, n: list[int]): return n
            def predict(self, batch, event: list) -> list[str]: return [each.get_id() for each in event]
        """,
        serve=_batched(4),
    )
    assert client.event({"n": 1}, id="e-7").json() == "e-7"
    assert client.post({"n": 1}).status == 400


def test_a_client_that_leaves_is_taken_out_of_the_queue_but_not_out_of_a_prediction(
    metered: Start, tmp_path: Path
) -> None:
    process = metered("""
        import time
        from pathlib import Path
        class P:
            def predict(self, n: int) -> int:
                print("predicting", n, flush=True)
                while not Path("go").exists(): time.sleep(0.01)
                return n
            def after_response(self, result): print("hook", result, flush=True)
    """)
    body = b'{"n": %d}'
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n"
    assert process.child.stdout is not None
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(head + body % 1)
        assert process.child.stdout.readline() == "predicting 1\n"
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(head + body % 2)
        eventually(lambda: "\nmlfunc_queue 1.0\n" in metrics(process))
    eventually(lambda: "\nmlfunc_queue 0.0\n" in metrics(process))
    (tmp_path / "go").touch()
    assert process.json(body % 3) == (200, 3)
    assert process.stop() == 0
    assert sorted(process.others) == ["hook 1", "hook 3", "predicting 3"]


def test_a_slot_of_quick_batches_is_woken_once_for_all_that_come_in_one_turn_of_the_hub(
    serve: Serve,
) -> None:
    client = serve("""
        class P:
            def predict(self, n: int) -> int: return n
    """)
    for _ in range(200):  # until its batches are known to be quick
        client.post({"n": 1})
    (slot,) = client.function._slots
    woken, run = [], slot.run

    def counted(call: Callable[[], None]) -> None:
        woken.append(call)
        run(call)

    slot.run = counted  # type: ignore[method-assign]
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(50)]
    gevent.joinall(jobs, raise_error=True)
    assert [job.value.json() for job in jobs] == list(range(50))
    assert len(woken) < 10


def test_a_batch_of_events_larger_than_a_batch_of_the_model_is_cut(serve: Serve) -> None:
    client = serve(DOUBLE, serve=_batched(4))
    events = [
        {"specversion": "1.0", "id": str(n), "source": "/a", "type": "a", "data": {"n": n}}
        for n in range(10)
    ]
    reply = client.post(events, content_type="application/cloudevents-batch+json")
    assert [each["data"] for each in reply.json()] == [2 * n for n in range(10)]
    sizes = sys.modules["predictor"].sizes
    assert (max(sizes), sum(sizes)) == (4, 10)


def test_no_slot_stays_idle_while_something_waits_though_batches_were_quick(serve: Serve) -> None:
    client = serve(
        """
        import threading
        together = threading.Barrier(3, timeout=10)
        class P:
            def predict(self, n: int) -> int:
                if n: together.wait()
                return n
        """,
        serve={"slots": 3},
    )
    for _ in range(200):
        client.post({"n": 0})
    jobs = [gevent.spawn(client.post, {"n": n}) for n in (1, 2, 3)]  # in one turn of the hub
    gevent.joinall(jobs)
    assert [job.value.json() for job in jobs] == [1, 2, 3]
