"""Subscriptions that change, and the Triggers that go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from mlfunc.function import Subscription
from mlfunc.knative import succession, triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBSCRIPTIONS = st.builds(
    Subscription,
    broker=st.sampled_from(["default", "other"]),
    filter=st.fixed_dictionaries({"type": st.sampled_from("abcd")}),
    retry=st.integers(0, 2),
)


def _key(subscription: Subscription) -> str:
    return triggers.key(subscription.broker, subscription.filter, subscription.filters)


def made(subscriptions: Sequence[Subscription]) -> list[dict[str, Any]]:
    return [triggers.manifest(each, "echo", "echoed", "shop", None) for each in subscriptions]


def named(trigger: dict[str, Any]) -> str:
    return str(trigger["metadata"]["name"])


@given(st.lists(_SUBSCRIPTIONS, unique_by=_key), st.lists(_SUBSCRIPTIONS, unique_by=_key))
def test_settled_triggers_keep_what_they_take_and_never_change_their_broker(
    before: list[Subscription], after: list[Subscription]
) -> None:
    live = {named(each): each for each in succession.settle(made(before), [])}

    settled = succession.settle(made(after), list(live.values()))
    names = [named(each) for each in settled]

    assert len(set(names)) == len(after)
    assert [each["spec"] for each in settled] == [each["spec"] for each in made(after)]
    for each in settled:
        there = live.get(named(each))
        assert there is None or there["spec"]["broker"] == each["spec"]["broker"]
    for name, each in live.items():
        if triggers.key_of(each) in map(triggers.key_of, settled):
            assert name in names
    assert succession.settle(made(after), settled) == settled
    assert set(triggers.prune(settled, list(live.values()))) == live.keys() - set(names)


def test_a_changed_filter_changes_the_trigger_that_is_there() -> None:
    old = made([Subscription(filter={"type": "a"}), Subscription(filter={"type": "b"})])

    settled = succession.settle(
        made([Subscription(filter={"type": "c"}), Subscription(filter={"type": "b"})]), old
    )

    assert [named(each) for each in settled] == [named(each) for each in old]
    assert triggers.prune(settled, old) == []


def test_a_name_that_another_filter_has_by_now_is_not_taken() -> None:
    first = made([Subscription(filter={"type": "a"})])
    changed = succession.settle(made([Subscription(filter={"type": "b"})]), first)

    back = [Subscription(filter={"type": "b"}), Subscription(filter={"type": "a"})]
    settled = succession.settle(made(back), changed)

    assert [named(each) for each in settled] == [named(first[0]), f"{named(first[0])}-2"]


def test_what_the_command_subscribed_to_becomes_the_files_and_is_never_changed_into_another() -> (
    None
):
    by_command = triggers.by_command(made([Subscription(filter={"type": "a"})])[0])
    same, other = made([Subscription(filter={"type": "a"}), Subscription(filter={"type": "b"})])

    assert named(succession.settle([same], [by_command])[0]) == named(by_command)
    assert named(succession.settle([other], [by_command])[0]) == named(other)


def test_a_trigger_on_its_way_out_is_neither_kept_nor_changed_nor_pruned_again() -> None:
    (wanted,) = made([Subscription(filter={"type": "a"})])
    going = {**wanted, "metadata": {**wanted["metadata"], "deletionTimestamp": "now"}}

    (settled,) = succession.settle([wanted], [going])

    assert named(settled) == f"{named(wanted)}-2"
    assert triggers.prune([settled], [going]) == []
