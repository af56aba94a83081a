"""The batcher with its real threads, under callers and predictors of every kind: nobody starves,
nobody is answered twice or with another's answer, the bound holds, keys never mix.
"""

from __future__ import annotations

import random
import sys
import time
from threading import Semaphore, current_thread
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from mlfunc_runtime.batcher import Batcher
from mlfunc_runtime.errors import Problem
from mlfunc_runtime.executor import Mailbox, Slot, call_in
from mlfunc_runtime.messages import Gone, Request
from mlfunc_runtime.metrics import Metrics
from mlfunc_runtime.stuck import Bounds, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc_runtime.batches import Item, Run


class Failed(Exception):
    """Of one request; its argument is the request's number."""


class Load:
    """Requests in random order of arrival, of some sizes and keys."""

    def __init__(self, *, max_size: int, slots: int, seed: int = 0, run: Run | None = None) -> None:
        self.chance = random.Random(seed)
        self.mailbox, self.metrics = Mailbox(), Metrics()
        self.slots = [Slot(f"slot-{number}") for number in range(slots)]
        self.batches: list[list[int]] = []
        self.batcher = Batcher(
            dict.fromkeys(self.slots, run or self.run),
            self.mailbox,
            self.metrics,
            Watch(Bounds, lambda: None),
            max_size=max_size,
            weigh=lambda arguments: (1.0 + arguments["n"] % 7, arguments["n"] % 3),
        )

    def run(self, batch: Sequence[Item]) -> list[Any]:
        self.batches.append([item.arguments["n"] for item in batch])
        time.sleep(0.0005)
        return [item.arguments["n"] * 2 for item in batch]

    def ask(self, number: int, answers: dict[int, list[Any]]) -> None:
        gevent.sleep(self.chance.random() * 0.05)
        answers[number].append(self.batcher.predict(Request(), {"n": number}))

    def close(self) -> None:
        for slot in self.slots:
            slot.close()
        self.mailbox.close()


class Bad(Load):
    """A predictor that fails in all ways, and callers who leave or have no time."""

    def run(self, batch: Sequence[Item]) -> list[Any]:
        """As a predictor may: what a request gets depends on it, or fails all of its batch."""
        numbers = [item.arguments["n"] for item in batch]
        self.batches.append(numbers)
        time.sleep(0.002 * self.chance.random())
        if any(number % 17 == 0 for number in numbers):
            raise Failed(numbers)
        if any(number % 19 == 0 for number in numbers):
            return numbers[1:]
        return [Failed([number]) if number % 5 == 0 else number * 2 for number in numbers]

    def ask_within(self, number: int, answers: dict[int, list[Any]], within: float) -> None:
        """Whatever it ends with is what it got."""
        gevent.sleep(self.chance.random() * 0.1)
        request = Request()
        request.deadline = time.perf_counter() + within
        try:
            answers[number].append(self.batcher.predict(request, {"n": number}))
        except (Exception, Gone, gevent.GreenletExit) as error:
            answers[number].append(error)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns in the middle of everything."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("max_size", "slots"), [(1, 1), (4, 1), (8, 3)])
def test_under_random_load_failures_and_departures_each_gets_its_own_answer_once(
    max_size: int, slots: int, seed: int
) -> None:
    load = Bad(max_size=max_size, slots=slots, seed=seed)
    answers: dict[int, list[Any]] = {number: [] for number in range(300)}
    impatient = set(load.chance.sample(range(300), 40))
    jobs = [
        gevent.spawn(load.ask_within, n, answers, 0.01 if n in impatient else 60.0) for n in answers
    ]
    leaving = load.chance.sample(range(300), 80)
    for number in leaving:
        how = load.chance.choice([Gone, gevent.GreenletExit])
        gevent.spawn_later(load.chance.random() * 0.12, _leave, jobs[number], how)
    gevent.joinall(jobs, timeout=60)
    _until_idle(load)
    load.close()
    batch_of = {number: batch for batch in load.batches for number in batch}
    left = set(leaving)
    for number, got in answers.items():
        assert len(got) == 1 or (number in left and not got), "answered once, or never begun"
        if got:
            assert _is_own(number, got[0], batch_of.get(number), left, impatient)
    ran = [number for batch in load.batches for number in batch]
    assert len(ran) == len(set(ran))
    assert set(answers) - left - impatient <= set(ran)
    assert max(map(len, load.batches)) <= max_size
    assert all(len({number % 3 for number in batch}) == 1 for batch in load.batches)
    assert (load.batcher.waiting, load.batcher._load._running) == (0, {})
    assert len(load.batcher._idle) == slots
    assert sum(load.metrics.dropped.values()) == len(set(answers) - set(ran) - _unasked(answers))


def _leave(job: gevent.Greenlet, how: type[BaseException]) -> None:
    if not job.ready():
        job.kill(how, block=False)


def _unasked(answers: dict[int, list[Any]]) -> set[int]:
    """Those that left before they had asked."""
    return {number for number, got in answers.items() if not got}


def _until_idle(load: Load) -> None:
    """Batches that nobody waits for end, too."""
    with gevent.Timeout(20):
        while len(load.batcher._idle) < len(load.slots):
            gevent.sleep(0.005)


def _is_own(
    number: int, got: Any, batch: list[int] | None, left: set[int], impatient: set[int]
) -> bool:
    """Whether it is what this request is to get, by itself or with its batch."""
    if isinstance(got, (Gone, gevent.GreenletExit)):
        return number in left
    if batch is None:
        return isinstance(got, Problem) and got.status == 504 and number in impatient
    if any(each % 17 == 0 for each in batch):
        return isinstance(got, Failed) and got.args == (batch,)
    if any(each % 19 == 0 for each in batch):
        return isinstance(got, RuntimeError) and "outcomes for a batch of" in str(got)
    if number % 5 == 0:
        return isinstance(got, Failed) and got.args == ([number],)
    return bool(got == number * 2)


class Held(Load):
    """Batches run when they are let go. `begun` has which slot has begun on which."""

    def __init__(self, *, max_size: int, slots: int) -> None:
        self.begun: list[tuple[str, list[int]]] = []
        self.gate = Semaphore(0)
        super().__init__(max_size=max_size, slots=slots)

    def run(self, batch: Sequence[Item]) -> list[Any]:
        numbers = [item.arguments["n"] for item in batch]
        self.begun.append((current_thread().name, numbers))
        assert self.gate.acquire(timeout=20)
        return numbers

    def send(self, *numbers: int) -> list[gevent.Greenlet]:
        """They are in the queue, or run, when this returns."""
        jobs = [gevent.spawn(self.batcher.predict, Request(), {"n": n}) for n in numbers]
        gevent.sleep(0.02)
        return jobs

    def until_begun(self, count: int) -> None:
        with gevent.Timeout(20):
            while len(self.begun) < count:
                gevent.sleep(0.002)


@pytest.mark.parametrize("how", [Gone, gevent.GreenletExit])
def test_whoever_leaves_the_queue_never_runs_and_what_has_begun_goes_on(
    how: type[BaseException],
) -> None:
    load = Held(max_size=1, slots=1)
    first, second, third = load.send(1), load.send(2), load.send(3)
    load.until_begun(1)
    for job in (*first, *second):
        job.kill(how, block=False)
    gevent.sleep(0)  # they are thrown on the hub, in its next turn
    load.gate.release(1000)
    gevent.joinall(third, timeout=20, raise_error=True)
    gevent.joinall([*first, *second], timeout=20)
    load.close()
    assert [numbers for _, numbers in load.begun] == [[1], [3]]
    assert load.metrics.dropped == {"deadline": 0, "cancelled": 1, "stuck": 0}
    assert (first[0].value == 1) == (how is Gone)


def test_what_is_refused_is_answered_and_never_runs() -> None:
    load = Held(max_size=1, slots=1)
    (first, *others) = load.send(1, 2, 3)
    load.until_begun(1)
    load.mailbox.post(lambda: load.batcher.refuse("no slot is left"))
    gevent.joinall(others, timeout=20)
    load.gate.release(1000)
    gevent.joinall([first], timeout=20, raise_error=True)
    load.close()
    assert [(job.exception.status, str(job.exception)) for job in others] == (
        [(503, "no slot is left")] * 2
    )
    assert [numbers for _, numbers in load.begun] == [[1]]
    assert load.metrics.dropped["stuck"] == 2


def test_the_oldest_is_in_the_next_batch_however_many_of_others_come() -> None:
    load = Held(max_size=4, slots=1)
    jobs = load.send(1)
    load.until_begun(1)
    jobs += load.send(3, *[1] * 200)  # only 3 has its key
    load.gate.release()
    load.until_begun(2)
    assert load.begun[1][1] == [3]
    load.gate.release(1000)
    gevent.joinall(jobs, timeout=20, raise_error=True)
    load.close()


def test_while_a_slot_is_not_ready_it_takes_nothing_and_the_forecast_counts_without_it() -> None:
    load = Held(max_size=1, slots=2)
    load.batcher._cost.terms, load.batcher._cost.observed = (10.0, 0.0, 0.0), 100
    load.slots[1].ready = False  # the one that would be asked first
    jobs = load.send(1)
    load.until_begun(1)
    assert load.batcher.predicted_wait() == pytest.approx(20, rel=0.2)
    jobs += load.send(*range(2, 6))
    assert load.batcher.predicted_wait() == pytest.approx(60, rel=0.2)
    assert load.begun == [("slot-0", [1])]
    load.slots[1].ready = True
    load.batcher.wake()
    load.until_begun(2)
    assert load.begun[1] == ("slot-1", [2])
    load.gate.release(1000)
    gevent.joinall(jobs, timeout=20, raise_error=True)
    _until_idle(load)
    assert load.batcher.predicted_wait() == 0.0
    load.close()


def test_a_run_that_breaks_its_promises_answers_everybody_and_the_slot_goes_on() -> None:
    broken: Iterator[Any] = iter([[], [1, 2, 3], ValueError("here")])

    def run(batch: Sequence[Item]) -> list[Any]:
        outcome = next(broken, [7] * len(batch))
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)

    load = Load(max_size=4, slots=1, run=run)
    for _ in range(3):
        with pytest.raises((RuntimeError, ValueError), match=r"outcomes for a batch|here"):
            load.batcher.predict(Request(), {"n": 1})
    assert load.batcher.predict(Request(), {"n": 1}) == 7
    load.close()


def test_a_mistake_of_ours_does_not_cost_the_slot(caplog: pytest.LogCaptureFixture) -> None:
    load = Load(max_size=4, slots=1)
    hand = load.batcher._load.begin
    load.batcher._load.begin = None  # type: ignore[assignment]
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
        load.batcher.predict(Request(), {"n": 1})
    load.batcher._load.begin = hand  # type: ignore[method-assign]
    assert load.batcher.predict(Request(), {"n": 2}) == 4
    assert "a call in slot-0 raised" in caplog.text
    load.close()


def test_a_call_gets_its_turn_in_a_slot_that_is_never_idle() -> None:
    load = Load(max_size=1, slots=1)
    answers: dict[int, list[Any]] = {number: [] for number in range(200)}
    jobs = [gevent.spawn(load.ask, number, answers) for number in answers]
    gevent.sleep(0.03)
    call_in(load.slots[0], load.mailbox, len, "on").get()
    ran = len(load.batches)
    gevent.joinall(jobs)
    load.close()
    assert ran < 200
    assert all(answers.values())
