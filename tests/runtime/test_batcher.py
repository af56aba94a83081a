"""Batches: formed when a slot is free, answered one by one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import gevent
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]

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
    assert sys.modules["predictor"].sizes == [1, 8, 8, 3]


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


def test_a_request_that_gave_up_leaves_the_queue(serve: Serve) -> None:
    client = serve(
        """
        import time
        class P:
            def predict(self, n: int) -> int:
                time.sleep(0.5)
                return n
        """,
        serve={"timeout": "200ms"},
    )
    jobs = [gevent.spawn(client.post, {"n": n}) for n in range(5)]
    gevent.joinall(jobs)
    assert {job.value.status for job in jobs} == {504}
    gauges = client.function.metrics.gauges
    assert (gauges["mlfunc_queue"](), gauges["mlfunc_in_flight"]()) == (0, 0)
