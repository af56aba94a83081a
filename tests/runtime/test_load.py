"""How long a request would wait, as told on its arrival."""

from __future__ import annotations

import pytest
from mlfunc_runtime.batches import Item
from mlfunc_runtime.cost import Cost
from mlfunc_runtime.load import Load
from mlfunc_runtime.messages import Request


def known() -> Cost:
    cost = Cost()
    cost.terms, cost.observed = (0.1, 0.0, 0.0), 100
    return cost


def begun(load: Load, batch: list[Item] | None = None) -> Load:
    load.begin(batch or [Item(Request(), {})], 0.0, left=0)
    return load


def test_nothing_is_said_before_anything_is_learned() -> None:
    assert begun(Load(Cost(), 8, 1)).wait(5.0, 100, 100, 100.0) == 0.0


def test_what_runs_and_what_waits_adds_up() -> None:
    load = begun(Load(known(), 8, 1))
    assert load.wait(0.04, 0, 0, 0.0) == pytest.approx(0.06 + 0.1)
    assert load.wait(0.04, 8, 8, 8.0) == pytest.approx(0.06 + 0.2)
    assert load.wait(0.04, 8, 3, 3.0) == pytest.approx(0.06 + 0.2)  # 5 are in before_predict


def test_slots_share_what_waits() -> None:
    load = begun(begun(Load(known(), 1, 2)))
    assert load.wait(0.0, 10, 10, 10.0) == pytest.approx((0.2 + 10 * 0.1) / 2 + 0.1)


def test_a_slot_that_is_not_ready_takes_no_share() -> None:
    load = begun(Load(known(), 1, 2))
    load.slots = 1
    assert load.wait(0.0, 10, 10, 10.0) == pytest.approx(0.1 + 10 * 0.1 + 0.1)


def test_what_takes_longer_than_it_should_is_expected_to_go_on() -> None:
    batch = [Item(Request(), {})]
    load = begun(Load(known(), 1, 1), batch)
    assert load.wait(7.0, 0, 0, 0.0) == pytest.approx(7.1)
    load.end(batch)
    assert load.wait(7.0, 0, 0, 0.0) == pytest.approx(0.1)
