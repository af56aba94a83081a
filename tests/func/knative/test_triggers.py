"""Subscriptions of mlfunc.yaml as Triggers, and which of those that are there go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import function
from mlfunc.errors import UsageError
from mlfunc.function import Events, Function, Subscription
from mlfunc.knative import triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVICE = {"metadata": {"name": "echo", "uid": "1-2-3"}}


def made(subscriptions: Sequence[Subscription]) -> list[dict[str, Any]]:
    return [triggers.manifest(each, "echo", "echoed", "shop", None) for each in subscriptions]


def named(trigger: dict[str, Any]) -> str:
    return str(trigger["metadata"]["name"])


def echo(*subscriptions: Subscription, name: str = "echo") -> Function:
    return Function(name=name, events=Events(subscriptions=list(subscriptions)))


def only(subscription: Subscription, **named: Any) -> dict[str, Any]:
    (found,) = triggers.manifests(echo(subscription, **named), "shop", _SERVICE)
    return found


def test_a_subscription_is_a_trigger_that_goes_with_its_service() -> None:
    found = only(Subscription(filter={"type": "order.created"}, timeout="2m"))

    name = found["metadata"].pop("name")
    assert re.fullmatch(r"echo-[0-9a-f]{8}", name)
    assert found == {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "namespace": "shop",
            "labels": {
                "mlfunc.dev/function": "echo",
                "app.kubernetes.io/managed-by": "mlfunc",
            },
            "annotations": {"mlfunc.dev/reply-type": "dev.mlfunc.echo.result"},
            "ownerReferences": [
                {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Service",
                    "name": "echo",
                    "uid": "1-2-3",
                }
            ],
        },
        "spec": {
            "broker": "default",
            "filter": {"attributes": {"type": "order.created"}},
            "delivery": {
                "retry": 5,
                "backoffPolicy": "exponential",
                "backoffDelay": "PT0.2S",
                "timeout": "PT120S",
            },
            "subscriber": {
                "ref": {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Service",
                    "name": "echo",
                    "namespace": "shop",
                }
            },
        },
    }


def test_before_there_is_a_service_nothing_owns_the_trigger() -> None:
    (found,) = triggers.manifests(echo(Subscription(filter={"type": "a"})), "shop", None)

    assert "ownerReferences" not in found["metadata"]


def test_filters_are_passed_on_and_what_is_exact_stands_in_the_old_one_too() -> None:
    given_: list[dict[str, Any]] = [{"exact": {"type": "a"}}, {"prefix": {"source": "/b"}}]

    spec = only(Subscription(filters=given_))["spec"]

    assert spec["filters"] == given_
    assert spec["filter"] == {"attributes": {"type": "a"}}


def test_the_old_filter_is_there_even_if_nothing_is_in_it() -> None:
    assert only(Subscription(filters=[{"prefix": {"type": "a"}}]))["spec"]["filter"] == {}


def test_dead_letters_go_where_kn_would_send_them() -> None:
    delivery = only(Subscription(filter={"type": "a"}, dead_letter="ksvc:audit"))["spec"][
        "delivery"
    ]

    assert delivery["deadLetterSink"]["ref"]["name"] == "audit"


@given(
    st.sampled_from([f"{n}{unit}" for n in (1, 15, 250, 3600, 400_000) for unit in ("ms", "s", "")])
)
def test_no_time_is_cut_to_none(written: str) -> None:
    delay = only(Subscription(filter={"type": "a"}, timeout=written))["spec"]["delivery"]["timeout"]

    found = re.fullmatch(r"PT(\d+(?:\.\d)?)S", delay)
    assert found
    asked = function.seconds(written)
    assert asked <= float(found[1]) < asked + 0.1 + 1e-9


@given(st.from_regex(function.NAME_PATTERN, fullmatch=True), st.text(min_size=1), st.text())
def test_a_name_is_always_a_label_of_dns_and_has_room_for_a_number(
    name: str, broker: str, value: str
) -> None:
    found = triggers.manifest(Subscription(broker, {"type": value}), name, "r", "shop", None)

    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,58}[a-z0-9])?", found["metadata"]["name"])


def test_two_functions_of_long_names_share_no_trigger() -> None:
    long = "a" * 62
    subscription = Subscription(filter={"type": "a"})

    names = {named(triggers.manifest(subscription, long + end, "r", "shop", None)) for end in "bc"}

    assert len(names) == 2


def test_the_same_is_the_same_however_it_is_written() -> None:
    keys = {
        triggers.key_of(each)
        for each in made(
            [
                Subscription(filter={"type": "a", "source": "b"}, retry=9),
                Subscription(filters=[{"exact": {"source": "b", "type": "a"}}]),
                Subscription(filter={"type": "a"}),
                Subscription(broker="other", filter={"type": "a", "source": "b"}),
            ]
        )
    }

    assert len(keys) == 3


def test_the_same_subscription_twice_is_refused() -> None:
    twice = (Subscription(filter={"type": "a"}), Subscription(filter={"type": "a"}, retry=1))

    with pytest.raises(UsageError, match=r"subscriptions\[1\] takes the same events as \[0\]"):
        triggers.check(echo(*twice))


def test_a_wrong_filter_is_refused_with_its_path() -> None:
    wrong = Subscription(filters=[{"any": [{"exat": {"type": "a"}}]}])

    with pytest.raises(UsageError, match=r"events.subscriptions\[0\].filters\[0\].any\[0\].exat"):
        triggers.manifests(echo(wrong), "shop", None)


def test_a_loop_is_refused_before_there_is_a_manifest() -> None:
    with pytest.raises(UsageError, match="its own replies"):
        triggers.manifests(echo(Subscription()), "shop", None)


def test_a_filter_that_does_not_count_is_noted() -> None:
    both = Subscription(filter={"type": "a"}, filters=[{"exact": {"type": "b"}}])

    assert triggers.check(echo(both)) == [
        "events.subscriptions[0]: filters count, filter does not: Knative takes one of them"
    ]


def test_only_what_the_file_had_once_is_pruned() -> None:
    kept, gone = Subscription(filter={"type": "a"}), Subscription(filter={"type": "b"})
    live = triggers.manifests(echo(kept, gone), "shop", _SERVICE)
    by_command = triggers.by_command(only(Subscription(filter={"type": "c"})))
    foreign = {"metadata": {"name": "echo-function-trigger-0"}}

    wanted = triggers.manifests(echo(kept), "shop", _SERVICE)

    names = [each["metadata"]["name"] for each in live]
    assert triggers.prune(wanted, [*live, by_command, foreign]) == [names[1]]
    assert triggers.prune([], [*live, by_command, foreign]) == names
