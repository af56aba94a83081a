"""Native threads that run calls, and the hub that hears of them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from mlfunc_runtime.executor import Mailbox, Slot, call_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture
def slot() -> Iterator[Slot]:
    made = Slot("test")
    yield made
    made.close()


def test_a_call_runs_in_the_slot_s_thread_and_its_value_comes_back(
    slot: Slot, mailbox: Mailbox
) -> None:
    threads = {call_in(slot, mailbox, threading.get_ident).get() for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_calls_run_in_order(slot: Slot, mailbox: Mailbox) -> None:
    seen: list[int] = []
    results = [call_in(slot, mailbox, seen.append, number) for number in range(10)]
    for result in results:
        result.get()
    assert seen == list(range(10))


def test_an_exception_comes_back_with_its_traceback(slot: Slot, mailbox: Mailbox) -> None:
    def broken() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as raised:
        call_in(slot, mailbox, broken).get()
    assert raised.traceback[-1].name == "broken"


def test_greenlets_run_while_a_call_blocks(slot: Slot, mailbox: Mailbox) -> None:
    result = call_in(slot, mailbox, time.sleep, 0.2)
    ticks = 0
    while not result.ready():
        gevent.sleep(0.01)
        ticks += 1
    assert ticks >= 5


def test_many_posts_are_delivered_in_order(mailbox: Mailbox, slot: Slot) -> None:
    seen: list[int] = []

    def post_all() -> None:
        for number in range(1000):
            mailbox.post(lambda number=number: seen.append(number))  # type: ignore[misc]  # defaults

    call_in(slot, mailbox, post_all).get()
    gevent.sleep(0.01)
    assert seen == list(range(1000))


def test_a_callback_that_raises_strands_none_after_it(
    mailbox: Mailbox, slot: Slot, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def post_all() -> None:
        for number in range(3):
            mailbox.post(lambda: 1 // 0)  # type: ignore[arg-type]
            mailbox.post(lambda number=number: seen.append(number))  # type: ignore[misc]  # defaults

    slot.run(post_all)
    while len(seen) < 3:
        gevent.sleep(0.001)
    assert capsys.readouterr().err.count("ZeroDivisionError") >= 3


def test_a_slot_knows_that_it_is_wanted(slot: Slot, mailbox: Mailbox) -> None:
    call_in(slot, mailbox, len, "").get()
    assert not slot.wanted
    slot.run(lambda: time.sleep(0.05))
    waiting = call_in(slot, mailbox, lambda: slot.wanted)
    assert slot.wanted
    assert waiting.get() is False


@pytest.mark.parametrize("error", [ValueError("here"), SystemExit(3)], ids=repr)
def test_a_call_that_raises_is_logged_and_the_slot_goes_on(
    slot: Slot, mailbox: Mailbox, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise error

    slot.run(broken)
    assert call_in(slot, mailbox, len, "on").get() == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "a call in test raised"
    assert type(error).__name__ in record.__dict__["fields"]["traceback"]


def test_a_slot_s_thread_has_its_name(slot: Slot, mailbox: Mailbox) -> None:
    assert call_in(slot, mailbox, lambda: threading.current_thread().name).get() == "test"


def test_the_hub_gets_the_gil_back_soon(start: Callable[..., Any]) -> None:
    process = start("""
        import sys

        class P:
            def predict(self): return sys.getswitchinterval()
    """)
    assert process.json(b"")[1] == pytest.approx(0.001)
