"""Subscriptions of functions that run, on a small cluster."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest
from mlfunc.cluster import client
from mlfunc.errors import NotFound, UsageError
from mlfunc.function import Events, Function, Subscription
from mlfunc.knative import triggers
from mlfunc.platforms.knative import events
from mlfunc.platforms.knative.addressing import Addressed

from tests.rig import apiserver, smallcluster
from tests.rig.smallcluster import shop

if TYPE_CHECKING:
    from tests.rig.smallcluster import SmallCluster

__all__ = ["shop"]

_TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/team/triggers"
_ORDERS = Subscription(filter={"type": "order.created"})


@pytest.fixture
def echo(shop: SmallCluster) -> Addressed:
    return Addressed("echo", client.connect())


def deployed(echo: Addressed, *subscriptions: Subscription) -> None:
    function = Function(name="echo", events=Events(subscriptions=list(subscriptions)))
    for manifest in triggers.manifests(function, "team", None):
        echo.cluster.apply(manifest)


def test_a_subscription_is_there_at_once_and_owned_by_the_service(
    shop: SmallCluster, echo: Addressed
) -> None:
    applied = events.subscribe(echo, _ORDERS)

    assert (applied.action, applied.subscribed.ready) == ("created", True)
    meta = shop.objects[f"{_TRIGGERS}/{applied.subscribed.trigger}"]["metadata"]
    assert meta["labels"]["mlfunc.dev/origin"] == "command"
    assert meta["ownerReferences"][0]["name"] == "echo"


def test_the_same_again_is_kept_and_other_retries_change_it(echo: Addressed) -> None:
    actions = [
        events.subscribe(echo, Subscription(filter=_ORDERS.filter, retry=retry)).action
        for retry in (5, 5, 6)
    ]

    assert actions == ["created", "kept", "changed"]
    assert len(events.overview(echo).subscriptions) == 1


def test_one_of_mlfunc_yaml_stays_as_it_is_there(echo: Addressed) -> None:
    deployed(echo, _ORDERS)

    applied = events.subscribe(echo, Subscription(filter=_ORDERS.filter, retry=6))

    assert (applied.action, applied.subscribed.origin) == ("kept", "mlfunc.yaml")
    assert applied.subscribed.retry == 5
    assert "mlfunc.yaml has it" in applied.note


def test_one_of_another_tool_is_not_made_again(echo: Addressed) -> None:
    manifest = triggers.manifest(_ORDERS, "echo", "echoed", "team", None)
    manifest["metadata"]["labels"] = {}
    echo.cluster.apply(manifest)

    applied = events.subscribe(echo, _ORDERS)

    assert (applied.action, applied.note) == ("kept", "another tool has it: it stays as it is")


def test_a_broker_that_is_not_there_is_told_with_the_command_that_makes_it(
    echo: Addressed,
) -> None:
    with pytest.raises(NotFound, match="there is no broker other in namespace team") as caught:
        events.subscribe(echo, Subscription(broker="other", filter={"type": "a"}))

    assert caught.value.hint == "kn broker create other -n team"


@pytest.mark.parametrize("kind", ["function", "broker"])
def test_dead_letters_for_who_is_not_there_are_refused_before_anything_is_applied(
    kind: str, shop: SmallCluster, echo: Addressed
) -> None:
    sink = {"function": "ksvc:nosuch", "broker": "broker:nosuch"}[kind]

    with pytest.raises(NotFound, match=f"^--dead-letter {sink}: there is no {kind} nosuch in"):
        events.subscribe(echo, Subscription(filter={"type": "a"}, dead_letter=sink))

    assert shop.below(_TRIGGERS) == []


def test_where_dead_letters_go_counts_only_as_far_as_one_may_look(
    echo: Addressed, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = apiserver.status(403, "Forbidden", "you may not look at it")
    monkeypatch.setattr(smallcluster, "_not_found", lambda _: refused)
    sinks = ("ksvc:audit", "channel:late", "svc:late", "http://late.example")
    for sink in sinks:
        wanted = Subscription(filter={"type": sink}, dead_letter=sink)
        assert events.subscribe(echo, wanted).subscribed.dead_letter == sink


def test_a_loop_by_the_type_that_the_deployment_noted_is_refused(echo: Addressed) -> None:
    function = Function(name="echo", events=Events(reply_type="echoed", subscriptions=[_ORDERS]))
    (manifest,) = triggers.manifests(function, "team", None)
    echo.cluster.apply(manifest)

    with pytest.raises(UsageError, match="its own replies, of type echoed"):
        events.subscribe(echo, Subscription(filter={"type": "echoed"}))


def test_a_wrong_filter_is_named_as_its_option(echo: Addressed) -> None:
    with pytest.raises(UsageError, match=r"^prefix.source: the value is empty"):
        events.subscribe(echo, Subscription(filters=[{"prefix": {"source": ""}}]))
    with pytest.raises(UsageError, match=r"^Ty-pe: the name of an attribute"):
        events.subscribe(echo, Subscription(filter={"Ty-pe": "a"}))


def test_a_function_that_is_not_there_is_not_found(echo: Addressed) -> None:
    other = Addressed("other", echo.cluster)

    with pytest.raises(NotFound, match="no function other in namespace team"):
        events.subscribe(other, _ORDERS)
    with pytest.raises(NotFound, match="no function other in namespace team"):
        events.overview(other)


def test_what_is_chosen_goes_and_the_rest_stays(echo: Addressed) -> None:
    deployed(echo, _ORDERS)
    made = events.subscribe(echo, Subscription(filter={"type": "b"})).subscribed.trigger

    gone = events.unsubscribe(echo, lambda each: each.trigger == made)

    assert [each.trigger for each in gone] == [made]
    assert [each.origin for each in events.overview(echo).subscriptions] == ["mlfunc.yaml"]
    with pytest.raises(NotFound, match="echo has no such subscription"):
        events.unsubscribe(echo, lambda each: each.trigger == made)


def test_what_another_tool_made_is_its_own_to_take_away(echo: Addressed) -> None:
    manifest = triggers.manifest(_ORDERS, "echo", "echoed", "team", None)
    manifest["metadata"]["labels"] = {}
    echo.cluster.apply(manifest)

    with pytest.raises(UsageError, match="was not made by mlfunc") as caught:
        events.unsubscribe(echo, lambda _: True)

    assert caught.value.hint.startswith("kubectl delete trigger echo-")
    assert events.overview(echo).subscriptions


def test_a_wait_ends_with_what_is_there_when_its_time_is_over(
    shop: SmallCluster, echo: Addressed
) -> None:
    shop.status = {}
    made = events.subscribe(echo, _ORDERS).subscribed

    assert events.wait(echo, made, 0.2) == made
    assert not made.ready


def test_a_wait_ends_when_it_is_ready(shop: SmallCluster, echo: Addressed) -> None:
    shop.status = {}
    made = events.subscribe(echo, _ORDERS).subscribed
    (found,) = shop.below(_TRIGGERS)
    status = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    shop.events["triggers"] = ({"type": "MODIFIED", "object": {**found, "status": status}},)

    assert events.wait(echo, made, 60).ready


def test_a_wait_for_what_was_taken_away_ends(shop: SmallCluster, echo: Addressed) -> None:
    made = events.subscribe(echo, _ORDERS).subscribed
    shop.objects.pop(f"{_TRIGGERS}/{made.trigger}")

    with pytest.raises(NotFound, match="was deleted meanwhile"):
        events.wait(echo, made, 60)


def test_what_is_followed_comes_again_only_when_it_changes(
    shop: SmallCluster, echo: Addressed
) -> None:
    events.subscribe(echo, _ORDERS)
    (found,) = shop.below(_TRIGGERS)
    shop.events["triggers"] = (
        {"type": "MODIFIED", "object": {**found, "metadata": {**found["metadata"], "note": "n"}}},
        {"type": "DELETED", "object": found},
    )

    with contextlib.closing(events.follow(echo)) as shown:
        first, second = itertools.islice(shown, 2)

    assert [len(each.subscriptions) for each in (first, second)] == [1, 0]


def test_what_goes_is_closed_before_it_is_deleted_and_not_shown_any_more(
    shop: SmallCluster, echo: Addressed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel delivers to it as long as there is a Subscription of it."""
    monkeypatch.setattr(shop, "delete", lambda path: shop.objects[path])
    made = events.subscribe(echo, _ORDERS).subscribed.trigger

    events.unsubscribe(echo, lambda _: True)

    left = shop.objects[f"{_TRIGGERS}/{made}"]
    assert left["spec"]["filter"] == {"attributes": {"type": "dev.mlfunc.none"}}
    left["metadata"]["deletionTimestamp"] = "now"
    assert events.overview(echo).subscriptions == []
    again = events.subscribe(echo, _ORDERS)
    assert (again.action, again.subscribed.trigger != made) == ("created", True)
