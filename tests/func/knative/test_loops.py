"""Subscriptions that would give a function what it sent itself."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.errors import UsageError
from mlfunc.function import Subscription
from mlfunc.knative import loops

_REPLY = "dev.mlfunc.echo.result"


def check(**subscription: Any) -> str:
    return loops.check(Subscription(**subscription), "echo", _REPLY, "events.subscriptions[0]")


@pytest.mark.parametrize(
    ("subscription", "way_out"),
    [
        ({}, "filter: {type: NAME}"),
        ({"filter": {"source": "/mlfunc/echo"}}, "filter: {type: NAME}"),
        ({"filter": {"type": ""}}, "set events.reply_type"),
        ({"filter": {"type": _REPLY}}, "set events.reply_type"),
        ({"filters": [{"prefix": {"type": "dev."}}]}, "[{not: {exact: {type: dev.mlfunc.echo."),
        ({"filters": [{"exact": {"type": _REPLY}}]}, "set events.reply_type"),
        # Where there are filters, Knative does not look at filter.
        ({"filter": {"type": "other"}, "filters": [{"suffix": {"type": "result"}}]}, "reply_type"),
    ],
)
def test_a_subscription_to_ones_own_replies_is_refused(
    subscription: dict[str, Any], way_out: str
) -> None:
    with pytest.raises(UsageError, match=r"subscriptions\[0\] would give echo its own") as caught:
        check(**subscription)

    assert way_out in caught.value.hint


@pytest.mark.parametrize(
    "subscription",
    [
        {"filter": {"type": "order.created"}},
        {"filters": [{"prefix": {"type": "order."}}]},
        {"filters": [{"not": {"exact": {"type": _REPLY}}}]},
        {"filters": [{"not": {"exact": {"source": "/mlfunc/echo"}}}]},
        {"filters": [{"cesql": "trace > 1"}, {"exact": {"type": "order.created"}}]},
    ],
)
def test_what_keeps_replies_out_has_nothing_to_be_noted(subscription: dict[str, Any]) -> None:
    assert check(**subscription) == ""


@pytest.mark.parametrize(
    "subscription",
    [
        {"filters": [{"cesql": "type LIKE 'dev.%'"}]},
        {"filter": {"subject": "photo"}},
        {"filter": {"type": _REPLY, "trace": "1"}},
    ],
)
def test_what_cannot_be_told_is_noted(subscription: dict[str, Any]) -> None:
    assert "cannot be told" in check(**subscription)


@pytest.mark.parametrize("sink", ["broker:default", "ksvc:echo"])
def test_dead_letters_that_come_back_are_refused(sink: str) -> None:
    with pytest.raises(UsageError, match="would give echo again what it failed on"):
        check(filter={"type": "order.created"}, dead_letter=sink)


def test_dead_letters_to_another_broker_are_not() -> None:
    assert check(filter={"type": "a"}, dead_letter="broker:failed") == ""
