"""What Triggers say of a function's events, in words."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import names, subscriptions, triggers

_READY = {"type": "Ready", "status": "True"}


def trigger(*conditions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    ref = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "echo"}
    return {
        "metadata": {"name": "echo-1", "namespace": "shop", "generation": 2, "labels": {}},
        "spec": {"broker": "default", "subscriber": {"ref": ref}},
        "status": {"observedGeneration": 2, "conditions": list(conditions)},
        **changes,
    }


def read(found: dict[str, Any]) -> subscriptions.Subscribed:
    return subscriptions.read(found, {"default"})


def test_a_ready_one_has_no_reason() -> None:
    found = read(trigger(_READY))

    assert (found.ready, found.reason, found.hint) == (True, "", "")


def test_one_without_a_broker_says_how_to_make_it() -> None:
    """Knative writes no status into it: of itself it says nothing."""
    found = subscriptions.read(trigger(status={}), ())

    assert not found.ready
    assert found.reason == "there is no broker default in namespace shop"
    assert found.hint == "kn broker create default -n shop"


@pytest.mark.parametrize(
    "status", [{}, {"observedGeneration": 1, "conditions": [_READY]}], ids=["no", "an older"]
)
def test_one_with_no_status_of_its_own_generation_is_not_ready(status: dict[str, Any]) -> None:
    assert read(trigger(status=status)).reason == "Knative has not come to it yet"


def test_the_first_condition_that_fails_is_told_and_not_what_waits_for_it() -> None:
    found = read(
        trigger(
            {"type": "BrokerReady", "status": "Unknown"},
            {
                "type": "DeadLetterSinkResolved",
                "status": "False",
                "reason": "Unable to get the dead letter sink's URI",
                "message": 'services.serving.knative.dev "audit" not found',
            },
            {"type": "Ready", "status": "False", "message": "the same"},
        )
    )

    assert found.reason == (
        'its dead letters cannot be sent: services.serving.knative.dev "audit" not found'
    )


def test_what_is_not_known_yet_is_told_as_such() -> None:
    waiting = {"type": "SubscriptionReady", "status": "Unknown"}

    assert read(trigger(waiting)).reason == "its channel does not deliver: not known yet"


def test_a_condition_of_a_later_knative_is_passed_on() -> None:
    found = read(trigger({"type": "Ready", "status": "False", "reason": "NewThing"}))

    assert found.reason == "NewThing"


def test_delivery_is_shown_as_mlfunc_yaml_has_it() -> None:
    spec = {
        **trigger()["spec"],
        "delivery": {
            "retry": 3,
            "backoffPolicy": "linear",
            "backoffDelay": "PT0.5S",
            "timeout": "PT1M",
            "deadLetterSink": {"uri": "http://late"},
        },
    }

    found = read(trigger(_READY, spec=spec))

    assert (found.retry, found.backoff) == (3, "linear from 0.5s")
    assert (found.timeout, found.dead_letter) == ("1m", "http://late")


def test_what_a_trigger_leaves_to_the_broker_is_not_made_up() -> None:
    found = read(trigger(_READY))

    assert (found.retry, found.backoff, found.timeout, found.dead_letter) == (None,) * 4


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({}, "every event"),
        ({"filter": {"attributes": {"type": "a", "trace": ""}}}, "type=a, trace=*"),
        (
            {"filter": {"attributes": {"type": "a"}}, "filters": [{"prefix": {"type": "b"}}]},
            "type=b*",
        ),
    ],
)
def test_what_it_takes_is_told_in_words(spec: dict[str, Any], takes: str) -> None:
    assert read(trigger(_READY, spec={**trigger()["spec"], **spec})).takes == takes


@pytest.mark.parametrize(
    ("labels", "origin"),
    [
        ({"mlfunc.dev/function": "echo"}, "mlfunc.yaml"),
        ({"mlfunc.dev/function": "echo", triggers.ORIGIN: "command"}, "mlfunc subscribe"),
        ({}, "another tool"),
    ],
)
def test_who_made_it_is_told(labels: dict[str, str], origin: str) -> None:
    metadata = {**trigger()["metadata"], "labels": labels}

    assert read(trigger(_READY, metadata=metadata)).origin == origin


def test_all_that_send_to_the_function_count_whoever_made_them() -> None:
    own = trigger()
    other = trigger(spec={"subscriber": {"ref": {"kind": "Service", "name": "echo"}}})
    by_address = trigger(spec={"subscriber": {"uri": "http://echo"}})

    assert subscriptions.of_function([own, other, by_address], "echo") == [own]
    assert subscriptions.of_function([own], "another") == []


def test_the_reply_type_is_what_deploy_noted_else_what_it_is_by_default() -> None:
    service: dict[str, Any] = {"metadata": {"name": "echo"}}
    noted = {"metadata": {"annotations": {names.REPLY_TYPE: "echoed"}}}

    assert subscriptions.reply_type(service, []) == "dev.mlfunc.echo.result"
    assert subscriptions.reply_type(service, [trigger(), noted]) == "echoed"
