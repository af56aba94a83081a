"""What makes a batch: invariants over random queues."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlfunc_runtime.batches import Item
from mlfunc_runtime.cost import Cost
from mlfunc_runtime.messages import Request
from mlfunc_runtime.waiting import Waiting, join

MAX = 4
REQUEST = Request()


def item(size: float, deadline: float = float("inf"), key: object = ()) -> Item:
    made = Item(REQUEST, {}, size, key)
    made.deadline = deadline
    return made


def known(fixed: float = 0.008, each: float = 0.0, unit: float = 0.0003) -> Cost:
    cost = Cost()
    cost.terms, cost.observed = (fixed, each, unit), 100
    return cost


COSTS = st.sampled_from([Cost(), known(), known(0.0, 0.001), known(0.01, 0.0, 0.0)])
ITEMS = st.builds(
    item,
    size=st.sampled_from([1.0, 5.0, 5.0, 6.0, 200.0]),
    deadline=st.sampled_from([0.5, 1.01, 1.05, float("inf"), float("inf")]),
    key=st.sampled_from([(), (), ("f4", 2)]),
)
STEPS = st.lists(st.one_of(ITEMS, st.just("take"), st.integers(0, 30)), max_size=80)


@given(COSTS, STEPS)
@settings(max_examples=300)
def test_over_random_arrivals_each_is_taken_once_with_its_like_and_none_starves(
    cost: Cost, steps: list[Item | str | int]
) -> None:
    waiting = Waiting(cost, MAX)
    queue: list[Item] = []
    added: list[Item] = []
    left: list[Item] = []

    def take() -> None:
        batch, late = waiting.take(1.0)
        queue[:] = [each for each in queue if each not in late]
        assert all(each.deadline < 2 for each in late)
        assert bool(batch) == bool(queue)
        if batch:
            assert queue[0] in batch
        assert len(batch) <= MAX
        assert len({each.key for each in batch}) <= 1
        assert all(each in queue for each in batch)
        queue[:] = [each for each in queue if each not in batch]
        left.extend([*batch, *late])

    for step in steps:
        if isinstance(step, Item):
            waiting.add(step)
            queue.append(step)
            added.append(step)
        elif step == "take":
            take()
        elif added:
            each = added[int(step) % len(added)]
            assert waiting.forget(each) == (each in queue)
            if each in queue:
                queue.remove(each)
                left.append(each)
        assert waiting.count == len(queue)
        assert waiting.units == pytest.approx(sum(each.size for each in queue))
    while queue:
        take()
    assert sorted(map(id, left)) == sorted(map(id, added))


@given(st.lists(st.floats(1, 300), min_size=1, max_size=64), st.integers(1, 40))
def test_whoever_joins_is_cheaper_in_the_batch_than_alone(
    sizes: list[float], max_size: int
) -> None:
    cost = known()
    batch = join([item(size) for size in sizes], cost, max_size)
    for n in range(1, len(batch)):
        before, after = (
            cost.seconds(count, max(each.size for each in batch[:count])) for count in (n, n + 1)
        )
        assert after - before <= cost.seconds(1, batch[n].size) + 1e-4


def test_before_anything_is_learned_everybody_joins() -> None:
    sizes = [1.0, 500.0, 3.0, 80.0]
    assert len(join([item(size) for size in sizes], Cost(), 3)) == 3


def test_a_short_one_does_not_pay_for_a_long_one_and_others_of_its_size_do_join() -> None:
    window = [item(size) for size in (10.0, 250.0, 12.0, 240.0, 9.0)]
    batch = join(window, known(), 16)
    assert [each.size for each in batch] == [10.0, 9.0, 12.0]


def test_where_size_costs_nothing_the_oldest_join_whatever_their_sizes() -> None:
    window = [item(size) for size in (10.0, 250.0, 12.0, 240.0, 9.0)]
    assert len(join(window, known(unit=0.0), 16)) == 5


def test_a_crowd_that_gave_up_leaves_no_trace() -> None:
    waiting = Waiting(Cost(), 1)
    items = [item(1.0) for _ in range(5000)]
    for each in items:
        waiting.add(each)
    for each in items[1:]:
        waiting.forget(each)
    assert len(waiting._items) < 200
    assert waiting.take(0.0) == ([items[0]], [])


def test_one_that_comes_too_late_is_dropped_if_others_wait_and_else_tried() -> None:
    waiting = Waiting(known(), 1)
    for deadline in (1.005, 1.005):
        waiting.add(item(10.0, deadline))
    batch, late = waiting.take(1.0)
    assert (len(batch), len(late)) == (1, 1)
