"""Slots whose call does not come back: told, left out, and back if it does after all."""

from __future__ import annotations

import json
import math
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc_runtime.batches import Item
from mlfunc_runtime.messages import Request
from mlfunc_runtime.streams import Stream
from mlfunc_runtime.stuck import Bounds, Call, due

from .isolated import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Process, Sink

    Start = Callable[..., Process]

# The bound, half a minute at least, is made short.
SOURCE = """
    import ctypes, sys, threading, time
    from pathlib import Path
    import mlfunc_runtime.stuck

    mlfunc_runtime.stuck.LEAST = 0.3
    held = threading.Lock()
    held.acquire()
    libc = ctypes.CDLL(None)
    libc_holding_the_gil = ctypes.PyDLL(None)

    class P:
        example = {"do": "echo"}

        def predict(self, do: str):
            if do == "lock": held.acquire(); held.release()
            if do == "c": libc.sleep(3600)
            if do == "gil": libc_holding_the_gil.usleep(1_500_000)
            if do == "free": held.release()
            if do == "slow": time.sleep(0.03)
            return do
"""
HOOKS = f"""{SOURCE}
        def after_response(self, result):
            while result == "never" or not Path("go").exists(): time.sleep(0.01)
            print("after", result, flush=True)

        def unload(self): print("unloaded", flush=True)
"""
STREAM = """
    import threading
    import mlfunc_runtime.stuck

    mlfunc_runtime.stuck.LEAST = 0.3

    class P:
        def predict(self, do: str):
            yield 1
            if do == "hang": threading.Event().wait()
            yield 2
"""
COLLATE = """
    import threading
    import mlfunc_runtime.stuck

    mlfunc_runtime.stuck.LEAST = 0.3

    class P:
        def collate(self, n: list[int]):
            if 0 in n: threading.Event().wait()
            return n
        def predict(self, batch): return batch
"""


def serve(**keys: Any) -> dict[str, Any]:
    return {"serve": {"timeout": "300ms", "chunk_timeout": "300ms", "drain": "5s", **keys}}


def ask(process: Process, do: str) -> tuple[int, Any]:
    return process.json(json.dumps({"do": do}).encode())


def health(process: Process) -> dict[str, tuple[int, str]]:
    replies = {
        name: process.call(path=f"/health/{name}", method="GET")
        for name in ("liveness", "readiness")
    }
    return {name: (r.status, json.loads(r.read())["status"]) for name, r in replies.items()}


def described(process: Process) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(process.call(path="/", method="GET").read())
    return found


@pytest.mark.parametrize(
    ("do", "line"), [("lock", "held.acquire(); held.release()"), ("c", "libc.sleep(3600)")]
)
def test_a_function_whose_only_slot_hangs_is_neither_live_nor_ready_and_its_log_has_the_stack(
    start: Start, do: str, line: str
) -> None:
    process = start(SOURCE, **serve())
    assert health(process) == {"liveness": (200, "alive"), "readiness": (200, "ready")}
    reply = process.call(json.dumps({"do": do}).encode(), x_request_id="late")
    assert reply.status == 504

    told = process.until("stuck")

    assert told["level"] == "error"
    assert "slot-0 is stuck" in told["message"]
    assert "no slot is left" in told["message"]
    assert (told["requests"], told["seconds"] >= 0.6) == (["late"], True)
    assert line in told["traceback"]
    assert "executor.py" not in told["traceback"]
    assert health(process) == {"liveness": (503, "stuck"), "readiness": (503, "stuck")}
    assert (described(process)["ready"], described(process)["stuck"]) == (False, 1)
    status, problem = ask(process, "echo")
    assert (status, problem["detail"]) == (
        503,
        "each slot is stuck in a call that does not come back",
    )


def test_the_end_waits_for_hooks_and_dead_letters_and_not_for_what_is_stuck(
    start: Start, sink: Sink, tmp_path: Path
) -> None:
    process = start(HOOKS, {"MLFUNC_DEAD_LETTER": sink.url}, **serve(drain="6s"))
    assert ask(process, "wait")[0] == ask(process, "never")[0] == 200
    assert ask(process, "c")[0] == 504
    process.until("stuck")
    process.child.send_signal(signal.SIGTERM)
    process.until("draining")
    (tmp_path / "go").touch()

    assert process.wait() == 3

    last = process.lines[-1]
    assert (last["message"], last["stuck"], last["in_flight"]) == ("stopped", 1, 0)
    assert (last["hooks"], last["dead_lettered"], last["unloaded"]) == (1, 1, False)
    assert process.others == ["after wait"]
    assert any("unload is not called" in line["message"] for line in process.lines)
    assert [letter["data"]["result"] for letter in sink.letters["/"]] == ["never"]


def test_the_other_slot_goes_on_and_one_that_comes_back_is_as_good_as_before(
    metered: Start,
) -> None:
    process = metered(SOURCE, **serve(slots=2, timeout="1s"))
    assert ask(process, "lock")[0] == 504
    assert [ask(process, "slow") for _ in range(10)] == [(200, "slow")] * 10
    eventually(lambda: described(process)["stuck"] == 1)

    assert health(process)["readiness"] == (200, "ready")
    with ThreadPoolExecutor(6) as clients:
        # None is refused because the stuck call was to be waited for.
        assert [*clients.map(ask, [process] * 6, ["slow"] * 6)] == [(200, "slow")] * 6
    metrics = process.call(path="/metrics", method="GET", port=process.metrics_port).read()
    assert b"mlfunc_slots_stuck 1.0" in metrics
    assert ask(process, "free") == (200, "free")
    eventually(lambda: described(process)["stuck"] == 0)
    assert process.stop() == 0
    told = [line for line in process.lines if "slot" in line]
    assert [line["level"] for line in told] == ["error", "warning"]
    assert "phase" not in told[0]
    assert "is not stuck any more" in told[1]["message"]


def test_an_item_of_a_stream_that_does_not_come_is_stuck(start: Start) -> None:
    process = start(STREAM, **serve())
    reply = process.call(b'{"do": "hang"}', content_type="application/json")

    assert b"event: error" in reply.read()
    assert "yield 1" not in (told := process.until("stuck"))["traceback"]
    assert "Event().wait()" in told["traceback"]


def test_what_waits_behind_a_collate_that_hangs_is_answered(start: Start) -> None:
    process = start(COLLATE, **serve(batch={"max_size": 2}))
    assert process.json(b'{"n": 1}') == (200, 1)
    assert process.json(b'{"n": 0}')[0] == 504

    assert "slot-0-collate is stuck" in process.until("stuck")["message"]
    assert process.json(b'{"n": 1}')[0] == 503


def test_one_that_holds_the_gil_is_late_and_not_stuck(start: Start) -> None:
    process = start(SOURCE, **serve())
    ask(process, "gil")

    assert ask(process, "echo") == (200, "echo")
    assert process.stop() == 0
    assert not any("slot" in line for line in process.lines)


def test_a_process_of_its_own_has_a_bound_of_its_own(start: Start) -> None:
    isolated = serve(isolation="process", process={"timeout": "2s"})
    process = start(SOURCE, **isolated)
    ask(process, "lock")

    eventually(lambda: ask(process, "echo") == (200, "echo"))
    assert process.stop() == 0
    assert [line["reason"] for line in process.lines if "reason" in line] == ["timeout"]


def item(deadline: float = 60.0, outcome: Any = None) -> Item:
    request = Request()
    request.deadline = deadline
    made = Item(request, {})
    made.outcome = outcome
    return made


def stream(since: float | None, made: int) -> Any:
    found = Stream.__new__(Stream)
    found.since, found.made = since, made
    return found


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([item(), item()], 110.0),
        ([item(math.inf)], math.inf),
        ([item(outcome=stream(12.0, 0))], 112.0),
        ([item(outcome=stream(70.0, 3))], 75.0),
        ([item(outcome=stream(None, 3))], math.inf),
    ],
    ids=["a batch", "a warm-up", "a first item", "the next item", "a stream that is not read"],
)
def test_when_a_call_is_stuck(batch: list[Item], expected: float) -> None:
    assert due(Call(10.0, batch), Bounds(call=100.0, item=5.0)) == expected
